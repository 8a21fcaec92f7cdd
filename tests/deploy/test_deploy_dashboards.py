"""The saved objects of OpenSearch Dashboards: whole, and each picture's question has an answer in a real OpenSearch."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from deploy_manifests import ROOT

from servers import address_of
from tickloop.adapters.opensearch.template import template

FILE = ROOT / "deploy" / "dashboards" / "tickloop.ndjson"
NEWEST = {"visualization": (7, 10, 0), "dashboard": (7, 9, 3), "index-pattern": (7, 6, 0)}
TEXTS_OF_JSON = ("visState", "uiStateJSON", "panelsJSON", "optionsJSON")
DAY = "2024-01-22"


def objects() -> dict[tuple[str, str], dict[str, Any]]:
    """Give the objects by type and id."""
    found = [json.loads(line) for line in FILE.read_text().splitlines()]
    by_key = {(one["type"], one["id"]): one for one in found}
    assert len(by_key) == len(found)
    return by_key


def pictures() -> list[dict[str, Any]]:
    return [one for (kind, _), one in objects().items() if kind == "visualization"]


def test_every_text_that_holds_json_holds_json() -> None:
    for one in objects().values():
        attributes = one["attributes"]
        for name in TEXTS_OF_JSON:
            if name in attributes:
                json.loads(attributes[name])
        if "kibanaSavedObjectMeta" in attributes:
            json.loads(attributes["kibanaSavedObjectMeta"]["searchSourceJSON"])


def test_every_reference_leads_to_an_object_of_the_file_and_is_used() -> None:
    for one in objects().values():
        references = {reference["name"]: (reference["type"], reference["id"]) for reference in one["references"]}
        used = set()
        attributes = one["attributes"]
        if "panelsJSON" in attributes:
            used |= {panel["panelRefName"] for panel in json.loads(attributes["panelsJSON"])}
        source = json.loads(attributes.get("kibanaSavedObjectMeta", {}).get("searchSourceJSON", "{}"))
        used |= {source["indexRefName"]} if "indexRefName" in source else set()
        assert used == set(references)
        assert set(references.values()) <= set(objects())


def test_no_object_is_newer_than_opensearch_dashboards_can_migrate() -> None:
    for (kind, _), one in objects().items():
        version = tuple(map(int, one["migrationVersion"][kind].split(".")))
        assert version <= NEWEST[kind]


def test_there_is_a_pie_of_rise_even_and_fall_for_both_markets_on_the_page() -> None:
    pies = {
        one["id"]: json.loads(one["attributes"]["kibanaSavedObjectMeta"]["searchSourceJSON"])["query"]["query"]
        for one in pictures()
        if json.loads(one["attributes"]["visState"])["type"] == "pie"
    }
    page = objects()["dashboard", "tickloop"]

    assert pies == {
        f"changes-{market.lower()}": f'code : "{market}" and type : "ticker"' for market in ("KRW-BTC", "KRW-ETH")
    }
    assert set(pies) <= {reference["id"] for reference in page["references"]}


def test_pictures_ask_for_fields_that_the_index_knows() -> None:
    known = template("tickloop")["template"]["mappings"]["properties"]
    for one in pictures():
        for part in json.loads(one["attributes"]["visState"])["aggs"]:
            field = part["params"].get("field")
            assert field is None or known[field].get("index", True), field


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, str]]:
    """Give an index made by our template: 30 messages of BTC's ticker rise, 20 fall, 10 are even; of ETH all rise."""
    prefix = f"t{uuid.uuid4().hex[:12]}"
    name = f"{prefix}-{DAY.replace('-', '.')}"
    documents = [
        *[("KRW-BTC", "ticker", "RISE")] * 30,
        *[("KRW-BTC", "ticker", "FALL")] * 20,
        *[("KRW-BTC", "ticker", "EVEN")] * 10,
        *[("KRW-ETH", "ticker", "RISE")] * 7,
        *[("KRW-BTC", "trade", "RISE")] * 5,
    ]
    lines: list[dict[str, object]] = []
    for number, (code, kind, change) in enumerate(documents):
        lines.append({"create": {"_id": str(number)}})
        lines.append(
            {
                "@timestamp": f"{DAY}T00:{number % 60:02}:00.000Z",
                "arrival": number,
                "code": code,
                "type": kind,
                "change": change,
                "doc_id": str(number),
                "trade_timestamp": number,
                "sequential_id": number,
            }
        )
    with (
        address_of("opensearch", tmp_path_factory.mktemp("dashboards") / "opensearch") as address,
        httpx.Client(base_url=address, timeout=60, trust_env=False) as client,
    ):
        client.put(f"/_index_template/{prefix}", json=template(prefix)).raise_for_status()
        body = "".join(json.dumps(line) + "\n" for line in lines)
        answer = client.post(f"/{name}/_bulk?refresh=true", content=body, headers={"content-type": "application/json"})
        assert answer.raise_for_status().json()["errors"] is False
        yield client, name
        client.delete(f"/{name}")
        client.delete(f"/_index_template/{prefix}")


@pytest.mark.server
def test_pie_shows_each_direction_of_its_market(index: tuple[httpx.Client, str]) -> None:
    shares = {}
    for one in pictures():
        if json.loads(one["attributes"]["visState"])["type"] == "pie":
            buckets = asked(index, one)["2"]["buckets"]
            shares[one["id"]] = {bucket["key"]: bucket["doc_count"] for bucket in buckets}

    assert shares == {
        "changes-krw-btc": {"RISE": 30, "FALL": 20, "EVEN": 10},
        "changes-krw-eth": {"RISE": 7},
    }


@pytest.mark.server
def test_bars_show_every_message_by_time_and_market(index: tuple[httpx.Client, str]) -> None:
    found = asked(index, objects()["visualization", "messages"])["2"]["buckets"]

    by_market: dict[str, int] = {}
    for bucket in found:
        for inner in bucket["3"]["buckets"]:
            by_market[inner["key"]] = by_market.get(inner["key"], 0) + inner["doc_count"]
    assert by_market == {"KRW-BTC": 65, "KRW-ETH": 7}


def asked(index: tuple[httpx.Client, str], picture: dict[str, Any]) -> dict[str, Any]:
    """Ask what Dashboards asks for a picture: its query, its buckets one in the other."""
    client, name = index
    attributes = picture["attributes"]
    query = json.loads(attributes["kibanaSavedObjectMeta"]["searchSourceJSON"])["query"]["query"]
    terms = [pair.replace('"', "").split(" : ") for pair in query.split(" and ")] if query else []
    aggregations: dict[str, Any] = {}
    place = aggregations
    for part in json.loads(attributes["visState"])["aggs"]:
        if part["schema"] == "metric":
            continue
        place[part["id"]] = body_of(part)
        place = place[part["id"]].setdefault("aggs", {})
    body = {
        "size": 0,
        "query": {"bool": {"filter": [{"match_phrase": {field: value}} for field, value in terms]}},
        "aggs": aggregations,
    }
    answer = client.post(
        f"/{name}/_search", content=json.dumps(body, indent=0), headers={"content-type": "application/json"}
    )
    found: dict[str, Any] = answer.raise_for_status().json()["aggregations"]
    return found


def body_of(part: dict[str, Any]) -> dict[str, Any]:
    """Give the aggregation of one part; the order by the metric `1`, a count, is the server's `_count`."""
    params = part["params"]
    if part["type"] == "date_histogram":
        return {"date_histogram": {"field": params["field"], "fixed_interval": "10m", "min_doc_count": 1}}
    assert part["type"] == "terms"
    return {"terms": {"field": params["field"], "size": params["size"], "order": {"_count": params["order"]}}}
