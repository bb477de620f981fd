"""Members over the API and the pages."""

from circle import BANK
from pingyao.platform.members import (
    documents,
)


def test_over_the_api_and_the_pages(parties) -> None:
    a, b, _ = parties
    system, security, bank = (
        a.node.client("system"),
        a.node.client("security"),
        b.node.client("system"),
    )
    asked = {"uscc": BANK.uscc, "name": BANK.name, "suite": "national"}
    made = system.post("/api/v1/members/invitations", json=asked)
    assert made.status_code == 201, made.text
    text = made.json()["text"]
    bad = bank.post("/api/v1/members/join", json={"invitation": text[:-9]})
    assert (bad.status_code, bad.json()["code"]) == (422, "members.bad_invitation")
    there = bank.post("/api/v1/members/join", json={"invitation": text}).json()
    number = a.member(BANK.uscc).id
    assert "/members?state=pending" in security.get("/members").text
    assert there["fingerprint"] in security.get(f"/members/{number}").text
    url = f"/members/{number}/confirm"
    wrong = security.post(
        url, data={"fingerprint": "0" * 40}, headers={"origin": "https://127.0.0.1"}
    )
    assert wrong.status_code == 409
    assert "members.fingerprint_differs" in wrong.text
    right = {"fingerprint": there["fingerprint"]}
    done = security.post(url, data=right, headers={"origin": "https://127.0.0.1"})
    assert done.headers["location"] == f"/members/{number}?done=member_confirmed"
    for language in ("zh", "en"):
        for role in ("system", "security", "audit", "officer", "reader"):
            client = a.node.client(role)
            client.cookies.set("language", language)
            for page in ("/members", f"/members/{number}", "/members/joining", "/members/own"):
                assert client.get(page).status_code == 200, page
    seen = a.node.client("audit").get("/api/v1/audit", params={"kind": "members."}).json()
    kinds = [e["kind"] for e in seen["items"]]
    assert kinds[:5] == [
        "members.roster.published",
        "members.member.confirmed",
        "members.member.differed",
        "members.member.joined",
        "members.invitation.made",
    ]
    assert text not in str(seen)
    assert documents.read_invitation(text).secret not in str(seen)
