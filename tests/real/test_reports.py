"""The reports of a hostile source: nothing runs, nothing is fetched, every number adds up."""

import re
import shutil
import sqlite3
import subprocess
import zipfile
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from python_calamine import CalamineWorkbook

from pingyao.classify.formats.report_html import write_html
from pingyao.classify.formats.report_json import read_json, write_json
from pingyao.classify.formats.report_xlsx import write_xlsx
from pingyao.classify.formats.words import say
from pingyao.classify.knowledge import load_knowledge
from pingyao.classify.model import Drift, Evidence, ScanResult
from pingyao.classify.rules.summary import summarise
from pingyao.classify.service import scan
from pingyao.classify.sources.open import open_path
from pingyao.kernel.errors import Invalid

NAMES = (
    *("=cmd|'/C calc'!A1", "+1+1", "-2", "@SUM(A1)", "<script>alert(1)</script>", "</script><b>x"),
    *(
        "\x1b[31mred",
        "\u202egnp.exe",
        "a\x00b".replace("\x00", "\x01"),
        "名" * 300,
        "&lt;",
        "手机号",
    ),
)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> ScanResult:
    path = tmp_path_factory.mktemp("hostile") / "bank.db"
    db = sqlite3.connect(path)
    listed = ", ".join('"' + n.replace('"', '""') + '" text' for n in NAMES)
    db.execute(f'create table "=HYPERLINK(""http://x"")" ({listed})')
    cells = [f"1380013{i:04d}" for i in range(len(NAMES) - 1)]
    marks = ", ".join("?" * len(NAMES))
    rows = [[*cells, f"139{n:08d}"] for n in range(40)]
    statement = f'insert into "=HYPERLINK(""http://x"")" values ({marks})'
    db.executemany(statement, rows)
    db.execute("create table t (remark text)")
    db.execute("create view broken as select * from nowhere")
    db.executemany(
        "insert into t values (?)",
        [
            ("客户称手机号为13800138000，请尽快处理" if n == 7 else f"例行回访，情况正常，第{n}次",)
            for n in range(500)
        ],
    )
    db.commit()
    db.close()
    return scan(open_path(path), load_knowledge())


def test_json_comes_back_equal(result: ScanResult, tmp_path: Path) -> None:
    write_json(result, tmp_path / "r.json")
    assert read_json(tmp_path / "r.json") == result


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b'{"format":"other/1","result":1}', b"\xff"]
)
def test_what_is_no_result_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "r.json").write_bytes(content)
    with pytest.raises(Invalid):
        read_json(tmp_path / "r.json")


def test_the_workbook_says_what_the_result_says(result: ScanResult, tmp_path: Path) -> None:
    path = tmp_path / "r.xlsx"
    write_xlsx(result, path)
    summary = summarise(result)
    book = CalamineWorkbook.from_path(str(path))
    rows = {n: book.get_sheet_by_name(n).to_python()[1:] for n in book.sheet_names}
    assert len(rows["数据资产目录"]) == summary.columns == len(NAMES) + 1
    assert len(rows["个人信息清单"]) == summary.personal
    assert len(rows["待复核"]) == summary.review
    assert len(rows["隐藏发现"]) == summary.hidden >= 1
    assert len(rows["未读取"]) == summary.unread == 1
    assert len(rows["规则依据"]) == len(summary.rules)
    assert sum(summary.by_level.values()) == summary.columns
    assert path.stat().st_mode & 0o077 == 0


def test_every_count_on_the_cover_links_to_exactly_its_rows(
    result: ScanResult, tmp_path: Path
) -> None:
    path = tmp_path / "r.xlsx"
    write_xlsx(result, path)
    with zipfile.ZipFile(path) as archive:
        cover = archive.read("xl/worksheets/sheet1.xml").decode()
    linked = re.findall(r"location=\"'(按级别|个人信息清单)'!A(\d+):[A-Z]+(\d+)\"", cover)
    book = CalamineWorkbook.from_path(str(path))
    seen: dict[str, list[object]] = {"按级别": [], "个人信息清单": []}
    for name, first, last in linked:
        rows = book.get_sheet_by_name(name).to_python()[int(first) - 1 : int(last)]
        labels = {row[9 if name == "按级别" else 10] for row in rows}
        assert len(labels) == 1
        seen[name] += [labels.pop()] * len(rows)
    summary = summarise(result)
    assert Counter(map(int, seen["按级别"])) == summary.by_level
    classes = {c: n for c, n in summary.by_personal.items() if c != "NONE"}
    assert Counter(seen["个人信息清单"]) == classes


def test_every_rule_links_to_exactly_the_columns_it_spoke_of(
    result: ScanResult, tmp_path: Path
) -> None:
    path = tmp_path / "r.xlsx"
    write_xlsx(result, path)
    book = CalamineWorkbook.from_path(str(path))
    rules = book.get_sheet_by_name("规则依据").to_python()
    number = book.sheet_names.index("规则依据") + 1
    with zipfile.ZipFile(path) as archive:
        sheet = archive.read(f"xl/worksheets/sheet{number}.xml").decode()
    places = re.findall(r"ref=\"H(\d+)\" location=\"'规则适用'!A(\d+):H(\d+)\"", sheet)
    assert len(places) == len(rules) - 1 > 3
    applied = book.get_sheet_by_name("规则适用").to_python()
    for at, first, last in places:
        rows = applied[int(first) - 1 : int(last)]
        rule = rules[int(at) - 1]
        assert len(rows) == rule[7] > 0
        assert {(row[0], row[1]) for row in rows} == {(rule[0], rule[1])}


def test_the_workbook_holds_no_formula_and_no_outside_link(
    result: ScanResult, tmp_path: Path
) -> None:
    path = tmp_path / "r.xlsx"
    write_xlsx(result, path)
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            text = archive.read(name).decode("utf-8", "replace")
            assert "<f>" not in text
            assert "<f " not in text
            assert 'TargetMode="External"' not in text


def test_the_page_fetches_nothing_and_cannot_be_broken_out_of(
    result: ScanResult, tmp_path: Path
) -> None:
    path = tmp_path / "r.html"
    write_html(result, path)
    text = path.read_text("utf-8")
    own = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    assert not re.search(r"""(src|href)\s*=|@import|url\(""", own)
    assert "default-src 'none'" in own
    assert "<script>alert" not in text
    assert text.count("</script>") == 3


def test_a_browser_shows_every_column_and_runs_nothing(result: ScanResult, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("没有 Chromium")
    path = tmp_path / "r.html"
    write_html(result, path)
    done = subprocess.run(
        [
            *(browser, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"),
            *(f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr"),
            *("--virtual-time-budget=5000", path.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert f'data-ready="{len(NAMES) + 1}"' in done.stdout
    assert done.stdout.count('tabindex="0"') == len(NAMES) + 1
    assert "CONSOLE" not in done.stderr


def test_drift_and_what_was_carried_over_are_told(result: ScanResult, tmp_path: Path) -> None:
    first, *rest = result.tables
    moved = Drift("drift.share", "masked", 1.0, 0.25, -0.7)
    column = msgspec.structs.replace(first.columns[0], drift=(moved,))
    read = msgspec.structs.replace(
        first, columns=(column, *first.columns[1:]), read_because="changed"
    )
    carried = [msgspec.structs.replace(t, carried_from=result.started_at) for t in rest]
    told = msgspec.structs.replace(result, tables=(read, *carried))
    write_xlsx(told, tmp_path / "r.xlsx")
    book = CalamineWorkbook.from_path(str(tmp_path / "r.xlsx"))
    (line,) = book.get_sheet_by_name("取值漂移").to_python()[1:]
    assert "已屏蔽的取值占比由 100.0% 变为 25.0%" in line
    handled = [row[3] for row in book.get_sheet_by_name("增量读取").to_python()[1:]]
    assert handled == ["重读", *["沿用"] * len(rest)]
    write_html(told, tmp_path / "r.html")
    text = (tmp_path / "r.html").read_text("utf-8")
    assert "已屏蔽的取值占比由 100.0% 变为 25.0%" in text
    assert f"沿用 {len(rest)} 张表" in text
    write_xlsx(result, tmp_path / "plain.xlsx")
    plain = CalamineWorkbook.from_path(str(tmp_path / "plain.xlsx"))
    assert "增量读取" not in plain.sheet_names


def test_unknown_evidence_is_shown_rather_than_failing() -> None:
    assert "nobody.knows" in say(Evidence("values", "mobile", 1.0, "nobody.knows", {"a": 1}))
    assert "values.share" in say(Evidence("values", "mobile", 1.0, "values.share", {}))


def test_every_evidence_code_has_words_in_both_languages() -> None:
    from pingyao.classify.formats import words

    source = Path(words.__file__).resolve().parents[1]
    codes = set(
        re.findall(
            r'"((?:values|text|memory|decision|declared)\.(?!json)[a-z_]+)"',
            "".join(p.read_text("utf-8") for p in source.rglob("*.py")),
        )
    )
    codes |= {
        f"{o}.{r}"
        for o in ("name", "comment")
        for r in ("direct", "composed", "table", "head", "bare")
    }
    for language, known in words._messages().items():
        assert codes <= known.keys(), language
