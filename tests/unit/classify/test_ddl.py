"""DDL dumps of four flavours; what is no column list is named, and never silently lost."""

import json
from pathlib import Path

import pytest

from pingyao.classify.model import Table, Unread
from pingyao.classify.sources.ddl import open_ddl

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"


def read(tmp_path: Path, text: str, encoding: str = "utf-8") -> list[Table | Unread]:
    path = tmp_path / "dump.sql"
    path.write_bytes(text.encode(encoding))
    return list(open_ddl(path).tables())


def columns(table: Table | Unread) -> list[tuple[str, str, str]]:
    assert isinstance(table, Table)
    return [(c.name, c.declared_type, c.comment) for c in table.columns]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
def test_mysql(tmp_path: Path, encoding: str) -> None:
    (table,) = read(
        tmp_path,
        """CREATE TABLE `t_cust` (
  `id` bigint(20) unsigned NOT NULL AUTO_INCREMENT,
  `xm` varchar(60) DEFAULT NULL COMMENT '姓名;含''曾用名''',
  PRIMARY KEY (`id`), KEY `k` (`xm`)
) ENGINE=InnoDB COMMENT='客户表';""",
        encoding,
    )
    assert columns(table) == [
        ("id", "bigint(20) unsigned", ""),
        ("xm", "varchar(60)", "姓名;含'曾用名'"),
    ]
    assert isinstance(table, Table)
    assert table.comment == "客户表"


def test_oracle_and_dameng(tmp_path: Path) -> None:
    (table,) = read(
        tmp_path,
        """CREATE TABLE "CRM"."ACCT_INFO" (
  "ACCT_NO" VARCHAR2(32 CHAR) NOT NULL ENABLE,
  "BAL" NUMBER(20,2) DEFAULT 0,
  "ID" INT IDENTITY(1,1),
  CONSTRAINT "PK" PRIMARY KEY ("ACCT_NO"),
  CLUSTER PRIMARY KEY("ID")
) TABLESPACE "USERS" STORAGE(INITIAL 65536) PARTITION BY RANGE ("BAL") (PARTITION P1 VALUES LESS THAN (1));
/
COMMENT ON TABLE "CRM"."ACCT_INFO" IS '账户信息';
COMMENT ON COLUMN "CRM"."ACCT_INFO"."ACCT_NO" IS '账号';
""",
    )
    assert columns(table) == [
        ("ACCT_NO", "VARCHAR2(32 CHAR)", "账号"),
        ("BAL", "NUMBER(20,2)", ""),
        ("ID", "INT", ""),
    ]
    assert isinstance(table, Table)
    assert (table.schema, table.comment) == ("CRM", "账户信息")


def test_postgresql_with_copied_rows_and_remarks(tmp_path: Path) -> None:
    (table,) = read(
        tmp_path,
        """create table public.loan (
    loan_no character varying(40) NOT NULL, -- 借据号
    opened timestamp with time zone,
    CONSTRAINT loan_pk PRIMARY KEY (loan_no)
);
COPY public.loan (loan_no) FROM stdin;
create table fake (a int);
\\.
INSERT INTO loan VALUES ('create table x (a int);
create table y (b int);');
comment on column loan.opened is '放款时间';
""",
    )
    assert columns(table) == [
        ("loan_no", "character varying(40)", "借据号"),
        ("opened", "timestamp with time zone", "放款时间"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "create table a like b;",
        "create table a as select * from b;",
        "create table a (primary key (x));",
    ],
)
def test_what_has_no_columns_is_named(tmp_path: Path, text: str) -> None:
    (unread,) = read(tmp_path, text)
    assert isinstance(unread, Unread)
    assert unread.code == "ddl.unreadable_statement"
    assert unread.remedy


@pytest.mark.parametrize(
    "text", ["", "select 1;", "\x00\x00", "create", "-- create table t (a int)"]
)
def test_no_statement_no_table(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text) == []


def test_half_a_statement_keeps_what_is_there(tmp_path: Path) -> None:
    (table,) = read(tmp_path, "create table t (a int, b varchar(10) comment '姓")
    assert [c[0] for c in columns(table)] == ["a", "b"]


def test_real_dumps_give_every_labelled_column() -> None:
    labels = SHARED / "labels" / "columns-dev.jsonl"
    if not labels.exists():
        pytest.skip("共享数据不在：../shared/data/labels")
    counts = {"mall": 76, "roncoo-pay": 28, "ruoyi-vue-pro": 48}
    comments: dict[tuple[str, str, str], str] = {}
    for schema, expected in counts.items():
        tables = list(open_ddl(SHARED / "schemas" / f"{schema}.sql").tables())
        assert len(tables) == expected
        for table in tables:
            assert isinstance(table, Table)
            for column in table.columns:
                key = (schema, table.name.lower(), column.name.lower())
                comments[key] = column.comment.strip().lower()
    for line in labels.read_text("utf-8").splitlines():
        row = json.loads(line)
        if row["schema"] in counts:
            key = (row["schema"], row["table"].lower(), row["column"].lower())
            assert comments[key] == row["comment"].strip().lower()
