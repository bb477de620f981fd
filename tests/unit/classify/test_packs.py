"""Loading of rule packs and of an institution's overlays."""

import json
import re
from pathlib import Path

import pytest

from pingyao.classify.packs import load_book
from pingyao.classify.rules.grade import Item, TableContext, combine, grade
from pingyao.kernel.errors import Invalid
from pingyao.kernel.labels import Labels, Level, PersonalClass

PROFILE = "客户/个人/个人自然信息/个人基本概况信息"
CITE = {"standard": "本行数据安全管理办法", "confidence": 1.0, "verified": True}


def rule(id_="own.rule", stage="class", when=None, sets=None, **more):
    return {
        "id": id_,
        "stage": stage,
        "when": when if when is not None else {"type": ["gender"], "subject": ["person"]},
        "sets": sets if sets is not None else {"personal": 2},
        "text": "本行规定",
        "citation": CITE,
        **more,
    }


def group(**more):
    return {
        "id": "own.group",
        "all_of": [["person_name"]],
        "sets": {"level": 4},
        "text": "本行规定",
        "citation": CITE,
        **more,
    }


@pytest.fixture
def write(tmp_path):
    def go(name="own", **body):
        path = tmp_path / f"{name}.json"
        head = {"pack": name, "version": "1", "source": "本行"}
        path.write_text(json.dumps(head | body, ensure_ascii=False), "utf-8")
        return path

    return go


def gender(book):
    return grade(Item("gender", "person", PROFILE), book)


def test_shipped_packs_are_named_with_their_versions():
    names = [p.name for p in load_book().packs]
    assert names[0] == "jrt0197"
    assert set(names) >= {"adjust", "jrt0171", "nfra2024_24", "pboc2025_3", "gbt43697"}
    assert all(p.version for p in load_book().packs)


def test_no_shipped_rule_claims_to_be_read_in_a_standard():
    book = load_book()
    rows = [r for rules in book.rules.values() for r in rules] + list(book.groups)
    assert all(r.citation.verified == (r.citation.standard == "") for r in rows)


def test_no_shipped_combination_has_a_volume_threshold():
    assert all(g.rows == 0 for g in load_book().groups)


def test_new_class_rule_of_an_institution_goes_before_ours(write):
    labels, rulings = gender(load_book([write(rules=[rule()])]))
    assert labels.personal == PersonalClass.C2
    assert any(r.pack == "own@1" and r.rule == "own.rule" for r in rulings)


def test_same_id_replaces_our_rule_in_place(write):
    mine = rule("c1.profile", sets={"personal": 3})
    labels, _ = gender(load_book([write(rules=[mine])]))
    assert (labels.personal, labels.level) == (PersonalClass.C3, Level.L4)


def test_disable_and_enable_by_id(write):
    off = load_book([write(disable=["c1.profile", "c1.other"])])
    assert gender(off)[0].personal == PersonalClass.NONE
    on = load_book([write(enable=["lower.hashed"])])
    hashed = Item("id_card_no", "person", PROFILE, frozenset({"hashed"}))
    # Its floor holds unless the class is lowered as well, which this rule does.
    assert grade(hashed, on)[0].level == Level.L2
    assert grade(hashed, load_book())[0].level == Level.L3


def test_overlays_apply_in_order(write):
    first = write("a", rules=[rule("x.r", sets={"personal": 2})])
    second = write("b", rules=[rule("x.r", sets={"personal": 3})])
    assert gender(load_book([first, second]))[0].personal == PersonalClass.C3
    assert gender(load_book([second, first]))[0].personal == PersonalClass.C2
    assert [p.name for p in load_book([second, first]).packs][-2:] == ["b", "a"]


def test_second_overlay_can_switch_off_what_the_first_added(write):
    first, second = write("a", rules=[rule()]), write("b", disable=["own.rule"])
    assert gender(load_book([first, second]))[0].personal == PersonalClass.C1


def test_directory_of_packs_is_read_by_name(write, tmp_path):
    write("b", rules=[rule("x.r", sets={"personal": 3})])
    write("a", rules=[rule("x.r", sets={"personal": 2})])
    assert gender(load_book([tmp_path]))[0].personal == PersonalClass.C3


def test_level_of_a_leaf_can_be_changed_and_is_cited_to_the_institution(write):
    book = load_book([write(leaves=[{"path": PROFILE, "min_level": 4}])])
    labels, rulings = gender(book)
    assert labels.level == Level.L4
    assert rulings[0].pack == "own@1"
    assert rulings[0].citation.standard == "本行"


def test_doubtful_leaves_are_off_until_asked_for(write):
    path = "客户/单位/单位基本信息/股东重要信息"
    assert path not in load_book().leaves
    assert load_book([write(doubtful=True)]).leaves[path] == 3


def test_new_leaf_must_say_that_it_is_new(write):
    leaf = {"path": "业务/本行特色/积分", "min_level": 2}
    with pytest.raises(Invalid, match="本行特色"):
        load_book([write(leaves=[leaf])])
    assert load_book([write(leaves=[leaf | {"new": True}])]).leaves["业务/本行特色/积分"] == 2


def test_volume_threshold_of_an_institution(write):
    book = load_book([write(groups=[group(rows=1000)])])
    columns = [(Item("person_name", "person", PROFILE), Labels(level=Level.L3))]
    assert combine(columns, book, TableContext(rows=999))[0].level == Level.L3
    assert combine(columns, book, TableContext(rows=1000))[0].level == Level.L4


def test_suggestion_can_be_made_a_rule(write):
    mine = group(id="group.identity", all_of=[["person_name"], ["id_card_no"]])
    book = load_book([write(groups=[mine])])
    columns = [
        (Item(t, "person", PROFILE), Labels(level=Level.L3)) for t in ("person_name", "id_card_no")
    ]
    assert combine(columns, book, TableContext())[0].level == Level.L4


def test_own_terms_can_be_declared_and_used(write):
    lower = rule("x", "lower", {"terms": ["escrowed"], "personal": 1}, {"personal_to": 0})
    with pytest.raises(Invalid, match="escrowed"):
        load_book([write(rules=[lower])])
    load_book([write(terms={"escrowed": "已托管"}, rules=[lower])])


@pytest.mark.parametrize(
    ("body", "code", "names"),
    [
        ({"rules": [rule(when={"type": ["gendre"]})]}, "pack.unknown_name", "own.rule"),
        ({"rules": [rule(when={"leaf": ["客户/无此项/"]})]}, "pack.unknown_name", "own.rule"),
        ({"rules": [rule(when={"terms": ["maskd"]})]}, "pack.unknown_name", "maskd"),
        ({"rules": [rule(sets={"level": 5})]}, "pack.malformed", "own.rule"),
        ({"rules": [rule(stage="label", sets={"tier": 3})]}, "pack.needs_person", "own.rule"),
        ({"rules": [rule(stage="label", sets={"national": 2})]}, "pack.needs_person", "own.rule"),
        ({"groups": [group(sets={"tier": 4})]}, "pack.needs_person", "own.group"),
        ({"rules": [rule(sets={"level_to": 1})]}, "pack.bad_lowering", "own.rule"),
        ({"rules": [rule(stage="lower", sets={"level_to": 1})]}, "pack.bad_lowering", "own.rule"),
        ({"groups": [group(sets={"level_to": 1})]}, "pack.bad_lowering", "own.group"),
        ({"rules": [rule(when={"level": 2})]}, "pack.not_monotone", "own.rule"),
        ({"rules": [rule(stage="raise", when={"level_max": 2})]}, "pack.not_monotone", "own.rule"),
        ({"rules": [rule(), rule()]}, "pack.conflict", "own.rule"),
        ({"rules": [rule("group.login")]}, "pack.conflict", "group.login"),
        ({"groups": [group(id="floor.c3")]}, "pack.conflict", "floor.c3"),
        ({"enable": ["floor.c3"], "disable": ["floor.c3"]}, "pack.conflict", "floor.c3"),
        ({"disable": ["no.such"]}, "pack.unknown_rule", "no.such"),
        ({"enable": ["no.such"]}, "pack.unknown_rule", "no.such"),
        ({"groups": [group(all_of=[])]}, "pack.empty_group", "own.group"),
        ({"groups": [group(all_of=[["person_name"], []])]}, "pack.empty_group", "own.group"),
        ({"groups": [group(all_of=[["nmae"]])]}, "pack.unknown_name", "nmae"),
        ({"rules": [rule("坏 编号")]}, "pack.bad_id", "坏 编号"),
        ({"rules": [rule(stage="later")]}, "pack.malformed", "own.rule"),
        ({"rules": [rule(wehn={})]}, "pack.malformed", "own.rule"),
        ({"leaves": [{"path": PROFILE, "min_level": 5}]}, "pack.malformed", PROFILE),
        ({"leaves": [{"path": PROFILE, "min_level": 3}] * 2}, "pack.conflict", PROFILE),
        ({"colour": "red"}, "pack.malformed", "own.json"),
    ],
)
def test_bad_pack_says_where_and_what_to_do(write, body, code, names):
    with pytest.raises(Invalid) as caught:
        load_book([write(**body)])
    assert caught.value.code == code
    assert "own" in caught.value.detail
    assert names in caught.value.detail
    assert caught.value.remedy


def test_example_of_the_guide_is_a_valid_pack(tmp_path):
    guide = Path(__file__).resolve().parents[3] / "docs/zh/packs.md"
    example = re.search(r"```json\n(.*?)```", guide.read_text("utf-8"), re.DOTALL)
    path = tmp_path / "mybank.json"
    path.write_text(example[1], "utf-8")
    book = load_book([path])
    assert book.packs[-1].name == "mybank"
    assert "mybank.nickname" in {r.id for r in book.rules["class"]}


def test_guide_names_every_term():
    guide = Path(__file__).resolve().parents[3] / "docs/zh/packs.md"
    assert all(term in guide.read_text("utf-8") for term in load_book().terms)


def test_name_of_a_shipped_pack_is_taken(write):
    with pytest.raises(Invalid, match="同名"):
        load_book([write("jrt0171")])


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b'{\n "pack": "x",\n "version" }', "第 3 行"),
        (b"", "own.json"),
        (b"[]", "own.json"),
        (b'"\xff\xfe"', "own.json"),
        (b"[" * 100_000, "own.json"),
    ],
)
def test_broken_json_names_the_file(tmp_path, raw, said):
    path = tmp_path / "own.json"
    path.write_bytes(raw)
    with pytest.raises(Invalid, match=said) as caught:
        load_book([path])
    assert caught.value.code == "pack.malformed"


def test_byte_order_mark_is_forgiven(write):
    path = write(rules=[rule()])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert gender(load_book([path]))[0].personal == PersonalClass.C2


def test_pack_that_is_too_large_or_absent(tmp_path):
    path = tmp_path / "own.json"
    with pytest.raises(Invalid, match="无法读取"):
        load_book([path])
    with path.open("wb") as file:
        file.truncate(8 * 1024 * 1024 + 1)
    with pytest.raises(Invalid, match="8 MiB"):
        load_book([path])
    path.unlink()
    with pytest.raises(Invalid, match="没有规则包"):
        load_book([tmp_path])
    for i in range(65):
        (tmp_path / f"{i}.json").write_bytes(b"{}")
    with pytest.raises(Invalid, match="64"):
        load_book([tmp_path])
