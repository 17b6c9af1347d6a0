"""`trunkline map export`, `diff` and `import` against the real control role over a real etcd."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest
from tests.integration.cli.command import Map
from tests.integration.control.conftest import Control, serving
from tests.integration.map.etcd_server import EtcdServer

from trunkline_cli.mapfile.apply import apply_plan, first_batch_number
from trunkline_cli.mapfile.diff import Diff, compare
from trunkline_cli.mapfile.live import LiveMap, read_live
from trunkline_cli.mapfile.parse import MapFile, read_map_file
from trunkline_cli.mapfile.plan import plan_import
from trunkline_client import ControlClient
from trunkline_client.control import PLAINLY
from trunkline_routing.control.policy_text import read_policy

HEAD = """\
version: 1
regions:
- {region_id: ap-south, jurisdiction: ap, state: serving, endpoints: {routing: ["10.3.0.2:7101"]}, ramp_s: 60}
- {region_id: eu-west, jurisdiction: eu, state: serving}
- {region_id: us-east, jurisdiction: us, state: serving, stores: [{store_id: own, endpoint: "10.2.0.9:6334"}]}
spaces:
- {space_id: minilm, model_id: minilm, model_revision: "1", dimension: 384}
tenants:
- {tenant_id: acme, tier: pro, jurisdictions: [ap, eu, us], state: active, quota_tokens_per_s: 20}
- {tenant_id: umbra, tier: free, jurisdictions: [eu], state: suspended}
collections:
"""


VESTA = """\
- {tenant_id: vesta, tier: pro, jurisdictions: [eu], state: active, limits: {requests_per_day: 50, soft_percent: 90},
  overrides: [{limits: {requests_per_day: 90}, end: "2099-01-01T00:00:00Z", note: "a fair"}], time_zone: Europe/Berlin,
  shadow_limits: {requests_per_minute: 5}, key_limits: [{subject: "ci:1", requests_per_minute: 3}],
  labels: {team: "a b"}, disabled_stages: [rerank]}
"""
"""A tenant with everything that can be said of one."""


def text_of(count: int, shard: int = 0) -> str:
    """A map file with so many collections."""
    lines = (
        f"- {{tenant_id: acme, collection_id: c{number:03}, space_id: minilm, placement: [eu-west, us-east], "
        f'jurisdictions: [eu, us], preference: placement, shard: {shard}, description: "Number {number}: \\"ä\\""}}\n'
        for number in range(count)
    )
    return HEAD + "".join(lines)


def write(folder: Path, text: str, name: str = "map.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def body_of(path: Path) -> str:
    """A map file without its comments."""
    return "".join(line for line in path.read_text().splitlines(keepends=True) if not line.startswith("#"))


async def test_export_import_export_is_the_same(trunkline: Map) -> None:
    """Every field survives, into an empty map too; the comments tell revision, epoch and time."""
    first, second = trunkline.home / "first.yaml", trunkline.home / "second.yaml"
    file = write(trunkline.home, text_of(20).replace("collections:\n", f"{VESTA}collections:\n"))
    made = await trunkline("map", "import", str(file), "--yes", "--json")
    await trunkline("map", "export", str(first))
    empty = write(trunkline.home, "version: 1\n", "none.yaml")
    gone = await trunkline("map", "import", str(empty), "--prune", "--yes", "--json")
    again = await trunkline("map", "import", str(first), "--yes", "--json")
    told = await trunkline("map", "export", str(second), "--json")
    diff = await trunkline("map", "diff", str(first), "--prune", "--json")

    assert [done.code for done in (made, gone, again, told, diff)] == [0] * 5, (made.out, gone.out, again.out)
    assert (gone.data["applied"], again.data["applied"], told.data["entries"]) == (27, 27, 27)
    assert diff.data["changes"] == []
    assert body_of(first) == body_of(second)
    assert " of epoch " in first.read_text().splitlines()[1]


async def test_an_export_to_the_pipe_is_a_map_file(trunkline: Map) -> None:
    """What is printed can be read again."""
    done = await trunkline("map", "export")

    piped = read_map_file(write(trunkline.home, done.out))
    assert piped.count == 4
    assert (await trunkline("map", "export", "--json")).code == 2


async def test_a_difference_is_shown_before_it_is_made(trunkline: Map) -> None:
    """Signs, fields and counts for people, plain data for programs; without an answer nothing is changed."""
    path = write(trunkline.home, text_of(3))
    shown, data = await trunkline("map", "diff", str(path)), await trunkline("map", "diff", str(path), "--json")
    dry = await trunkline("map", "import", str(path), "--dry-run", "--json")
    unasked = await trunkline("map", "import", str(path))

    assert "+ collection acme/c000: " in shown.out
    assert "~ tenant acme\n    jurisdictions: [eu, us] -> [ap, eu, us]\n" in shown.out
    assert "collections: 3 to add\n" in shown.out
    assert data.data["counts"]["tenants"] == {"add": 1, "change": 1, "remove": 0}
    assert (dry.code, dry.data["applied"], dry.data["import_id"]) == (0, 0, "")
    assert (unasked.code, "add --yes" in unasked.err) == (2, True)
    assert (await trunkline("collection", "list", "--tenant", "acme")).out == ""


async def test_a_wrong_file_is_told_with_its_lines_and_nothing_is_sent(trunkline: Map) -> None:
    """Wrong values, and names of what is not there."""
    wrong = write(trunkline.home, text_of(2).replace("shard: 0", "shard: many"))
    lost = write(trunkline.home, text_of(2).replace("placement: [eu-west, us-east]", "placement: [mars]"), "lost.yaml")

    told = [await trunkline("map", "import", str(path), "--yes") for path in (wrong, lost)]

    assert [done.code for done in told] == [2, 2]
    assert "line 12: collection shard: must be a number from 0 to 1,023" in told[0].err
    assert "line 13: collection acme/c001: there is no region mars" in told[1].err


async def test_a_refusal_names_the_entry(trunkline: Map) -> None:
    """What only the control role can know: the batch is left out as a whole."""
    await trunkline.run("map", "import", str(write(trunkline.home, text_of(1))), "--yes")
    path = write(trunkline.home, text_of(2).replace("shard: 0", "shard: 7", 1))

    done = await trunkline("map", "import", str(path), "--yes", "--json")

    assert done.code == 3
    assert done.data["error"]["reason"] == "FIELD_INVALID"
    assert done.data["error"]["metadata"]["entry"] == "collections/acme/c000"


async def test_a_change_in_two_steps_reaches_the_file(trunkline: Map) -> None:
    """A tenant moves from one jurisdiction to another with its collections, and a region is closed behind them."""
    await trunkline.run("map", "import", str(write(trunkline.home, text_of(20))), "--yes")
    moved = (
        text_of(20)
        .replace("jurisdictions: [ap, eu, us], state", "jurisdictions: [eu], state")
        .replace("[eu-west, us-east], jurisdictions: [eu, us]", "[eu-west], jurisdictions: [eu]")
        .replace("jurisdiction: us, state: serving", "jurisdiction: us, state: down")
        .replace("jurisdictions: [eu], state: suspended", "jurisdictions: [us], state: suspended")
    )

    done = await trunkline("map", "import", str(write(trunkline.home, moved)), "--yes", "--json")

    assert done.code == 0, done.out
    assert (await trunkline("map", "diff", str(trunkline.home / "map.yaml"), "--json")).data["changes"] == []


class Stopped(Exception):  # noqa: N818 - what happens to the import, no failure of it
    """The importing process ends here."""


class Breaking(ControlClient):
    """Ends before one of its batches is sent, or after it was applied and before its answer was read."""

    left = 0
    after = False

    async def import_batch(self, *batch: Any) -> bytes:
        if not self.left and not self.after:
            raise Stopped
        token = await super().import_batch(*batch)
        if not self.left:
            raise Stopped
        self.left -= 1
        return token


async def _difference(client: ControlClient, file: MapFile) -> Diff:
    live: LiveMap = await read_live(client, lambda *_: None)
    return compare(file, live, prune=True)


async def _import(client: ControlClient, file: MapFile, import_id: str) -> None:
    plan = plan_import(await _difference(client, file))
    number = await first_batch_number(client, import_id)
    await apply_plan(client, plan, import_id, number, PLAINLY, lambda *_: None)


@pytest.mark.parametrize("after", [False, True])
async def test_an_import_stopped_at_any_batch_goes_on(control: Control, tmp_path: Path, after: bool) -> None:
    """Stopped again and again, each time one batch further: at the end the map is the file, each change made once."""
    file = read_map_file(write(tmp_path, text_of(50)))
    token = control.issuer.token(tenant=None, roles=["operator"])
    async with Breaking([control.endpoint], token) as client:
        client.after = after
        planned = plan_import(await _difference(client, file))
        stops = 0
        for _ in range(2 * len(planned.batches)):
            client.left = 0 if after else min(stops, 1)
            try:
                await _import(client, file, "broken")
            except Stopped:
                stops += 1
            else:
                break
        state = await client.import_state("broken")
        left = await _difference(client, file)
        changes = await client.collection_changes("acme", limit=1000)

    assert len(planned.batches) > 4
    assert stops >= len(planned.batches)
    assert left.differences == ()
    assert state.next_batch_number == len(planned.batches) + 1
    assert state.applied_count == planned.count
    assert len(changes) == 50


async def test_a_killed_import_is_resumed(trunkline: Map, control: Control) -> None:
    """SIGKILL in the middle: the same command, with or without its id, does the rest."""
    path = write(trunkline.home, text_of(600))
    process = await trunkline.start("map", "import", str(path), "--yes")
    async with ControlClient([control.endpoint], trunkline.env["TRUNKLINE_TOKEN"]) as client, asyncio.timeout(30):
        async for event in client.watch_collections("acme"):
            if event.written.HasField("collection"):
                break
    process.send_signal(signal.SIGKILL)
    _, err = await process.communicate()
    import_id = err.decode().split("import ", 1)[1].split(";")[0]

    done = await trunkline("map", "import", str(path), "--yes", "--resume", import_id, "--json")

    assert (done.code, done.data["import_id"]) == (0, import_id), done.out
    assert 0 < done.data["applied"] < 600 or process.returncode == 0
    assert (await trunkline("map", "diff", str(path), "--json")).data["changes"] == []


async def test_of_two_imports_at_once_one_goes_on(control: Control, tmp_path: Path) -> None:
    """Both want the same entries: the slower one is refused at its first batch, and may compare anew."""
    ours = read_map_file(write(tmp_path, text_of(40, shard=1)))
    theirs = read_map_file(write(tmp_path, text_of(40, shard=2), "theirs.yaml"))
    token = control.issuer.token(tenant=None, roles=["operator"])
    async with ControlClient([control.endpoint], token) as client:
        plans = [plan_import(await _difference(client, file)) for file in (ours, theirs)]
        outcomes = await asyncio.gather(
            *(apply_plan(client, plan, f"i{n}", 1, PLAINLY, lambda *_: None) for n, plan in enumerate(plans)),
            return_exceptions=True,
        )
        left = [await _difference(client, file) for file in (ours, theirs)]

    refused = [each for each in outcomes if isinstance(each, Exception)]
    assert [(type(each).__name__, getattr(each, "reason", "")) for each in refused] == [
        ("Conflict", "REVISION_CONFLICT")
    ]
    assert sorted(len(each.differences) for each in left) == [0, 40]


async def test_a_control_role_that_goes_away_stops_no_import(
    map_etcd: EtcdServer, control: Control, tmp_path: Path
) -> None:
    """The batch under way is sent to another one, which knows whether it was applied."""
    begun, first_batch = asyncio.Event(), asyncio.Event()
    endpoints = [control.endpoint]

    async def serve_for_one_batch() -> None:
        async with serving(map_etcd, control.issuer, tmp_path / "other", read_policy) as other:
            endpoints.insert(0, other.endpoint)
            begun.set()
            await first_batch.wait()

    file = read_map_file(write(tmp_path, text_of(100)))
    async with asyncio.TaskGroup() as group:
        group.create_task(serve_for_one_batch())
        await begun.wait()
        async with ControlClient(endpoints, control.issuer.token(tenant=None, roles=["operator"])) as client:
            plan = plan_import(await _difference(client, file))
            told: list[int] = []

            def applied(done: int, _total: int) -> None:
                told.append(done)
                if done:
                    first_batch.set()

            await apply_plan(client, plan, "moved", 1, PLAINLY, applied)
            left = await _difference(client, file)
            state = await client.import_state("moved")

    assert left.differences == ()
    assert told[-1] == plan.count == state.applied_count
