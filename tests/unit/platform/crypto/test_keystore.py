"""The keystore gives nothing away, loses nothing, and takes two persons where it says two."""

import errno
import os
import stat
from collections.abc import Callable
from itertools import product
from pathlib import Path

import msgspec
import pytest

from pingyao.kernel.errors import (
    Conflict,
    IntegrityBroken,
    Invalid,
    NotFound,
    NotPermitted,
    NotYet,
    Unsupported,
)
from pingyao.platform.crypto import (
    derive,
    keyfile,
    keys,
    keystore_content,
    passphrases,
    release,
)
from pingyao.platform.crypto.derive import Stretch
from pingyao.platform.crypto.keystore import (
    KeyStore,
    accept_keystore,
    create_keystore,
    open_keystore,
)
from pingyao.platform.files import state_home

PHRASE = "correct horse battery staple"
TWO = {"张": "first of two persons", "李": "second of two persons"}
THREE = {**TWO, "王": "third of the persons"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2id at its least; the parameters are the file's own."""
    monkeypatch.setattr(derive, "stretch", lambda: Stretch(os.urandom(16), 1, 1, 8))


@pytest.fixture(params=keyfile.CIPHERS)
def store(tmp_path: Path, request: pytest.FixtureRequest) -> KeyStore:
    return create_keystore(tmp_path / "keys.pks", PHRASE, cipher=request.param)


def test_what_is_kept_comes_back(store: KeyStore) -> None:
    store.create("贷款.2026", "aes-256", purpose="贷款台账")
    secret = store.get("贷款.2026").secret
    again = open_keystore(store.path, PHRASE).get("贷款.2026")
    assert again.secret == secret
    assert len(secret) == 32
    assert (again.info.kind, again.info.purpose, again.info.state) == (
        "aes-256",
        "贷款台账",
        "active",
    )
    assert again.info.created_at.utcoffset() is not None


@pytest.mark.parametrize("kind", keys.KINDS)
def test_every_kind_is_generated_anew(kind: str) -> None:
    made = {keys.generate(kind) for _ in range(8)}
    assert len(made) == 8
    assert {len(m) for m in made} == {keys.KINDS[kind]}


def test_an_imported_secret_is_kept_as_it_is(store: KeyStore) -> None:
    store.create("old", "opaque", secret=b"anything")
    store.create("seed", "ed25519", secret=b"s" * 32)
    assert store.get("old").secret == b"anything"
    assert store.get("seed").secret == b"s" * 32
    with pytest.raises(Invalid):
        store.create("short", "ed25519", secret=b"s" * 31)
    with pytest.raises(Unsupported):
        store.create("none", "opaque")
    with pytest.raises(Unsupported):
        store.create("none", "des")


def test_the_file_shows_nothing_and_is_the_owners(store: KeyStore) -> None:
    store.create("secretname", "opaque", secret=b"THE-SECRET", purpose="purpose-said")
    content = store.path.read_bytes()
    for word in (b"THE-SECRET", b"secretname", b"purpose-said", PHRASE.encode()):
        assert word not in content
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600


def test_nothing_printed_shows_a_secret(store: KeyStore) -> None:
    store.create("k", "opaque", secret=b"THE-SECRET")
    key = store.get("k")
    assert "SECRET" not in f"{key!r} {key} {store!r} {[key]}"


def test_a_wrong_passphrase_opens_nothing_and_is_not_echoed(store: KeyStore) -> None:
    with pytest.raises(NotPermitted) as told:
        open_keystore(store.path, "correct horse battery stapler")
    assert told.value.code == "keys.wrong_passphrase"
    assert "stapler" not in str(told.value.args) + told.value.detail + told.value.remedy


def test_every_altered_byte_of_the_file_is_noticed(store: KeyStore) -> None:
    store.create("k", "sm4")
    content = store.path.read_bytes()
    for at in range(0, len(content) - 1, 7):
        spoilt = bytearray(content)
        spoilt[at] ^= 1
        store.path.write_bytes(spoilt)
        with pytest.raises((NotPermitted, Invalid, IntegrityBroken)):
            open_keystore(store.path, PHRASE).get("k")


@pytest.mark.parametrize(
    "change",
    [
        {"memory_kib": 1 << 40},
        {"iterations": 10**9},
        {"lanes": 0},
        {"lanes": 10**6},
        {"salt": ""},
    ],
)
def test_a_hostile_file_cannot_make_us_work_for_ever(store: KeyStore, change: dict) -> None:
    held = msgspec.json.decode(store.path.read_bytes())
    held["stretch"] |= change
    store.path.write_bytes(msgspec.json.encode(held))
    with pytest.raises((IntegrityBroken, Invalid)):
        open_keystore(store.path, PHRASE)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff", b'{"format":"x"}', b"[" * 100_000])
def test_what_is_no_keystore_is_said(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "k"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(Invalid) as told:
        open_keystore(path, PHRASE)
    assert told.value.code == "keys.not_keystore"


def test_a_file_others_can_read_is_refused(store: KeyStore) -> None:
    store.path.chmod(0o640)
    with pytest.raises(Invalid, match="他人"):
        open_keystore(store.path, PHRASE)


def test_no_file_and_a_second_one(store: KeyStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        open_keystore(tmp_path / "none", PHRASE)
    with pytest.raises(Conflict):
        create_keystore(store.path, PHRASE)
    assert open_keystore(store.path, PHRASE).infos() == []


@pytest.mark.parametrize("weak", ["", "short", "aaaaaaaaaaaaaaaa", "ababababababab"])
def test_a_weak_passphrase_is_refused(store: KeyStore, tmp_path: Path, weak: str) -> None:
    with pytest.raises(Invalid):
        create_keystore(tmp_path / "new", weak)
    with pytest.raises(Invalid):
        store.change_passphrase(weak)


@pytest.mark.parametrize("name", ["", "a b", "../x", "x" * 65, "-x", "a\n"])
def test_a_bad_name_is_refused(store: KeyStore, name: str) -> None:
    with pytest.raises(Invalid):
        store.create(name, "sm4")


def test_rotation_keeps_the_old_version_for_opening(store: KeyStore) -> None:
    store.create("k", "aes-256")
    wrapped = store.wrap("k", b"d" * 32, b"context")
    assert store.rotate("k").version == 2
    assert store.unwrap(wrapped, b"context") == b"d" * 32
    assert store.wrap("k", b"d" * 32, b"context").version == 2
    assert [i.state for i in store.infos()] == ["retired", "active"]


def test_a_destroyed_key_opens_nothing(store: KeyStore) -> None:
    store.create("k", "sm4")
    wrapped = store.wrap("k", b"d" * 32, b"")
    secret = store.get("k").secret
    store.destroy("k", 1, reason="到期")
    for version in (None, 1):
        with pytest.raises(NotFound) as told:
            store.get("k", version)
        assert told.value.code == "keys.destroyed"
    with pytest.raises(NotFound):
        store.unwrap(wrapped, b"")
    with pytest.raises(NotFound):
        store.destroy("k", 1, reason="again")
    body = store._load()
    assert secret not in msgspec.msgpack.encode(body)
    assert [i.state for i in store.infos()] == ["destroyed"]
    assert [(e.kind, e.body.get("reason")) for e in store.history()] == [
        ("keys.created", None),
        ("keys.destroyed", "到期"),
    ]


def test_a_wrapped_key_is_bound_to_key_version_and_context(store: KeyStore) -> None:
    store.create("a", "aes-256")
    store.create("b", "aes-256", secret=store.get("a").secret)
    wrapped = store.wrap("a", b"d" * 32, b"x")
    for spoilt, context in (
        (wrapped, b"y"),
        (msgspec.structs.replace(wrapped, key="b"), b"x"),
        (msgspec.structs.replace(wrapped, sealed=bytes(48)), b"x"),
        (msgspec.structs.replace(wrapped, sealed=b""), b"x"),
    ):
        with pytest.raises(IntegrityBroken):
            store.unwrap(spoilt, context)
    store.create("mac", "hmac-sm3")
    with pytest.raises(Unsupported):
        store.wrap("mac", b"d", b"")


def test_the_passphrase_changes_for_every_open_store(store: KeyStore) -> None:
    store.create("k", "sm4")
    other = open_keystore(store.path, PHRASE)
    store.change_passphrase("another quite long phrase")
    assert len(store.get("k").secret) == 16
    with pytest.raises(Conflict):
        other.create("x", "sm4")
    with pytest.raises(NotPermitted):
        open_keystore(store.path, PHRASE)
    assert open_keystore(store.path, "another quite long phrase").get("k")


def test_two_open_stores_do_not_lose_each_others_keys(store: KeyStore) -> None:
    other = open_keystore(store.path, PHRASE)
    store.create("a", "sm4")
    other.create("b", "sm4")
    assert {i.name for i in store.infos()} == {"a", "b"}
    with pytest.raises(Conflict):
        store.create("b", "sm4")


@pytest.mark.parametrize(
    "change",
    [
        lambda store: store.create("l", "sm4"),
        lambda store: store.rotate("k"),
        lambda store: store.destroy("k", 1, reason="期满"),
        lambda store: store.change_passphrase("another correct horse battery"),
        lambda store: store.accept("换机"),
    ],
)
def test_a_full_disk_leaves_the_store_as_it_was(
    store: KeyStore, monkeypatch: pytest.MonkeyPatch, change: Callable[[KeyStore], object]
) -> None:
    store.create("k", "sm4")
    before = store.path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Invalid) as told:
        change(store)
    assert told.value.code == "keys.not_writable"
    assert told.value.remedy
    assert store.path.read_bytes() == before
    assert [p for p in store.path.parent.iterdir() if "lock" not in p.name] == [store.path]
    monkeypatch.undo()
    assert [i.name for i in store.infos()] == ["k"]


def test_a_store_whose_folder_is_gone_is_not_made_anew(store: KeyStore) -> None:
    folder = store.path.parent
    away = folder.rename(folder.with_name(f"{folder.name}-unmounted"))
    with pytest.raises((Invalid, NotFound)):
        store.create("l", "sm4")
    assert not folder.exists()
    away.rename(folder)


@pytest.mark.parametrize("pair", [("张", "李"), ("张", "王"), ("王", "李")])
def test_any_two_of_three_open(store: KeyStore, pair: tuple[str, str]) -> None:
    store.create("k", "aes-256", custodians=THREE)
    key = store.get("k", approvals={n: THREE[n] for n in pair})
    assert len(key.secret) == 32
    assert store.history()[-1].body["approved_by"] == sorted(pair)


@pytest.mark.parametrize(
    "approvals",
    [
        None,
        {},
        {"张": TWO["张"]},
        {"张": TWO["张"], " 张 ": TWO["李"]},  # one person by two spellings
    ],
)
def test_one_person_does_not_suffice(store: KeyStore, approvals: dict | None) -> None:
    store.create("k", "aes-256", custodians=TWO)
    with pytest.raises(NotYet):
        store.get("k", approvals=approvals)


@pytest.mark.parametrize(
    "approvals",
    [
        {"张": TWO["张"], "李": TWO["张"]},  # the same secret under both names
        {"张": TWO["李"], "李": TWO["张"]},
        {"张": TWO["张"], "李": "a guess that is wrong"},
        {"张": TWO["张"], "赵": "somebody else altogether"},
    ],
)
def test_a_wrong_approval_opens_nothing(store: KeyStore, approvals: dict) -> None:
    store.create("k", "aes-256", custodians=TWO)
    with pytest.raises(NotPermitted) as told:
        store.get("k", approvals=approvals)
    assert not any(p in told.value.detail + told.value.remedy for p in approvals.values())


def test_the_stores_own_passphrase_and_one_person_hold_no_secret(store: KeyStore) -> None:
    """Whoever has the decrypted content and one passphrase tries every key they can derive."""
    secret = b"the secret that takes two persons"
    store.create("k", "opaque", secret=secret, custodians=TWO)
    body = store._load()
    assert secret not in msgspec.msgpack.encode(body)
    held = body.entries[0].release
    assert held is not None
    one = derive.from_passphrase(TWO["张"], held.stretches["张"])
    forged = [
        dict(zip(("张", "李"), both, strict=True))
        for both in product([one, bytes(32), b""], repeat=2)
    ]
    for each in forged:
        with pytest.raises(IntegrityBroken):
            keys.choose.unseal(
                "aes-256-gcm",
                release._pair_key(each, ("张", "李")),
                held.wraps[0].nonce,
                held.wraps[0].sealed,
                keystore_content.context(body.entries[0].info),
            )


@pytest.mark.parametrize(
    "custodians",
    [
        {},
        {"张": "only a single person"},
        {"张": "the same for both of them", "李": "the same for both of them"},
        {"张": "short", "李": "second of two persons"},
        {"张": "first of two persons", "张 ": "second of two persons"},
        {"": "first of two persons", "李": "second of two persons"},
        {str(n): f"passphrase number {n}" for n in range(9)},
    ],
)
def test_custodians_that_will_not_do(store: KeyStore, custodians: dict) -> None:
    with pytest.raises(Invalid):
        store.create("k", "aes-256", custodians=custodians)
    assert store.infos() == []


def test_a_two_person_key_wraps_rotates_and_opens(store: KeyStore) -> None:
    store.create("k", "aes-256", custodians=TWO)
    with pytest.raises(NotYet):
        store.wrap("k", b"d" * 32, b"")
    wrapped = store.wrap("k", b"d" * 32, b"", TWO)
    with pytest.raises(NotYet):
        store.unwrap(wrapped, b"")
    with pytest.raises(Invalid):
        store.rotate("k")
    store.rotate("k", THREE)
    assert store.unwrap(wrapped, b"", TWO) == b"d" * 32
    assert store.infos()[-1].persons == ("张", "李", "王")


def test_passphrases_come_from_variable_or_file(tmp_path: Path) -> None:
    path = tmp_path / "phrase"
    path.write_text("from the file\nsecond line\n")
    name = passphrases.KEYSTORE
    assert passphrases.passphrase(environment={name: "direct"}) == "direct"
    assert passphrases.passphrase(environment={f"{name}_FILE": str(path)}) == "from the file"


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe", b"x" * 5000])
def test_a_passphrase_file_that_will_not_do(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "phrase"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(Invalid):
        passphrases.from_file(path)


def test_an_old_copy_put_back_is_noticed_and_accepted_only_with_a_reason(store: KeyStore) -> None:
    store.create("k", "aes-256")
    old = store.path.read_bytes()
    store.destroy("k", 1, reason="到期")
    store.path.write_bytes(old)
    with pytest.raises(IntegrityBroken) as caught:
        open_keystore(store.path, PHRASE)
    assert caught.value.code == "keys.rolled_back"
    with pytest.raises(IntegrityBroken):
        store.get("k")
    with pytest.raises(IntegrityBroken):
        store.create("other", "aes-256")
    with pytest.raises(Invalid):
        accept_keystore(store.path, PHRASE, " ")
    with pytest.raises(NotPermitted):
        accept_keystore(store.path, "wrong wrong wrong", "从备份恢复")
    accepted = accept_keystore(store.path, PHRASE, "从备份恢复")
    assert accepted.get("k").info.version == 1
    assert accepted.history()[-1].body == {"reason": "从备份恢复"}
    assert open_keystore(store.path, PHRASE).infos()[0].state == "active"


def test_another_keystore_in_its_place_is_noticed(store: KeyStore, tmp_path: Path) -> None:
    store.create("k", "aes-256")
    other = create_keystore(tmp_path / "other.pks", PHRASE)
    for name in ("a", "b", "c"):
        other.create(name, "aes-256")
    other.path.replace(store.path)
    with pytest.raises(IntegrityBroken):
        open_keystore(store.path, PHRASE)


def test_a_copy_elsewhere_and_a_store_that_went_on_are_fine(
    store: KeyStore, tmp_path: Path
) -> None:
    store.create("k", "aes-256")
    copy = tmp_path / "copy.pks"
    copy.write_bytes(store.path.read_bytes())
    copy.chmod(0o600)
    open_keystore(copy, PHRASE).rotate("k")
    store.path.write_bytes(copy.read_bytes())
    assert open_keystore(store.path, PHRASE).get("k").info.version == 2


def test_a_damaged_or_unwritable_mark_is_no_mark(
    store: KeyStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for mark in (state_home() / "keystores").iterdir():
        mark.write_bytes(b"{")
    assert open_keystore(store.path, PHRASE).infos() == []
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(blocked))
    open_keystore(store.path, PHRASE).create("k", "aes-256")
    assert store.infos()[0].name == "k"
