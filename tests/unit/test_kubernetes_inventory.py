"""What is kept in the cluster about an install, and what is shown of its objects."""

from __future__ import annotations

import base64
import json

import pytest
from rich.console import Console

from af_otel.cli._plan import changes, shortened
from af_otel.errors import AfOtelError
from af_otel.facility import Facility
from af_otel.kubernetes.inventory import Inventory, Revision
from af_otel.kubernetes.ownership import FACILITY, MANAGED_BY, cleaned, masked, owner
from af_otel.kubernetes.plan import Change, Plan
from af_otel.kubernetes.refs import Ref

PAYLOAD = {
    "apiVersion": "v1",
    "kind": "ConfigMap",
    "metadata": {"name": "af-otel-payload-1", "namespace": "jhub"},
    "binaryData": {"payload.zip": "A" * 400_000},
    "data": {"unpack.py": "pass"},
}
SECRET = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "s", "namespace": "n"},
    "data": {"password": "aHVudGVyMg=="},
}


@pytest.fixture
def facility():
    return Facility.model_validate(
        {
            "name": "f",
            "hub": {"namespace": "jhub"},
            "backends": {"jaeger": True, "prometheus": True},
        }
    )


def test_it_comes_back_as_it_was(facility):
    """Written into a Secret and read again; the payload itself stays out, as it does not fit."""
    revision = Revision.of(facility, [SECRET, PAYLOAD])
    inventory = Inventory("f", "af-otel", ()).begin(revision, revision.refs)
    secret = inventory.as_object()
    assert len(json.dumps(secret)) < 10_000
    again = Inventory.from_object(secret)
    assert again == inventory
    assert again.current.payloads == [Ref("v1", "ConfigMap", "af-otel-payload-1", "jhub")]
    assert again.current.facility["backends"]["jaeger"] is True


def test_the_last_complete_one_is_what_one_goes_back_to(facility):
    """An install that was interrupted, and the one that completes it, do not push it out."""
    first, second = (Revision.of(facility, [{**SECRET, "data": {"a": n}}]) for n in ("1", "2"))
    done = Inventory("f", "n", ()).begin(first, first.refs).complete(first.refs)
    assert done.begin(first, first.refs).previous is None
    cut = done.begin(second, second.refs)
    assert cut.state == "applying"
    assert cut.begin(second, second.refs).complete(second.refs).previous == first


def test_what_may_be_there_is_known_until_it_is_done(facility):
    """Objects of the old and of the new, until the old are gone."""
    old, new = Ref("v1", "ConfigMap", "old", "n"), Ref("v1", "ConfigMap", "new", "n")
    revision = Revision.of(facility, [])
    inventory = Inventory("f", "n", (old,), "complete", revision)
    assert set(inventory.begin(revision, [new]).refs) == {old, new}
    assert inventory.begin(revision, [new]).complete([new]).refs == (new,)


@pytest.mark.parametrize("damage", ["", "e30=", base64.b64encode(b'{"format": 1}').decode()])
def test_a_damaged_one_is_said(facility, damage):
    """With where it is, and the way out."""
    secret = Inventory("f", "n", ()).as_object()
    secret["data"]["inventory.json"] = damage
    with pytest.raises(AfOtelError, match="Secret `af-otel-inventory` in `n`"):
        Inventory.from_object(secret)


def test_a_newer_one_is_left_alone():
    """An older af-otel does not guess."""
    secret = Inventory("f", "n", ()).as_object()
    secret["data"]["inventory.json"] = base64.b64encode(b'{"format": 9}').decode()
    with pytest.raises(AfOtelError, match="format 9"):
        Inventory.from_object(secret)


def test_whose_an_object_is():
    """Ours by both labels; somebody else's by none."""
    meta = {"labels": {MANAGED_BY: "af-otel", FACILITY: "f"}}
    assert owner({"metadata": meta}) == "f"
    assert owner({"metadata": {"labels": {MANAGED_BY: "Helm", FACILITY: "f"}}}) is None
    assert owner({"metadata": {}}) is None


def test_what_the_server_writes_is_no_difference():
    """Two answers about one object are equal but for that."""
    obj = {**SECRET, "status": {"x": 1}}
    obj["metadata"] = {**SECRET["metadata"], "resourceVersion": "7", "managedFields": []}
    assert cleaned(obj) == SECRET


def test_a_diff_has_no_secret():
    """Nor its hash, by which a weak one could be guessed; that it changes is said."""
    after = {**SECRET, "data": {"password": "b3RoZXI="}}
    diff = Change("change", Ref.of(SECRET), after, SECRET, after).diff
    assert diff == [
        "@@ -4,4 +4,4 @@",
        "   name: s",
        "   namespace: n",
        " data:",
        "-  password: <hidden>",
        "+  password: <hidden, another>",
    ]


def test_a_payload_is_shown_by_its_hash():
    """And its size."""
    assert masked(PAYLOAD)["binaryData"]["payload.zip"].startswith("<sha256:")
    assert masked(PAYLOAD)["binaryData"]["payload.zip"].endswith("300 kB>")


def test_a_long_line_is_shown_where_it_differs():
    """An expression of a policy has thousands of characters, and one of them is another."""
    same = "x" * 5000
    old, new = shortened([f"-{same}old", f"+{same}new"])
    assert old.startswith("-…x")
    assert old.endswith("xold")
    assert new.endswith("xnew")
    assert list(shortened(["-short", "+shorter"])) == ["-short", "+shorter"]


def test_a_plan_that_is_cut_names_the_option_that_shows_all_of_it():
    """The same plan in full, also of a rollback, which `af-otel diff` would show reversed."""
    before, after = ({**PAYLOAD, "data": {str(n): v for n in range(200)}} for v in "ab")
    change = Change("change", Ref.of(after), after, before, after)
    console = Console(width=120)
    with console.capture() as capture:
        console.print(changes(Plan("f", (change,)), full=False))
    assert "more lines: `--dry-run` shows them" in capture.get()
    with console.capture() as capture:
        console.print(changes(Plan("f", (change,)), full=True))
    assert "more lines" not in capture.get()
