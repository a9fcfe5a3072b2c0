//! The OpenAPI document of the console is current, complete and true: a running console answers
//! each of its calls as it says.

use anyhow::{Context as _, ensure};
use pipeline_tests::console::{Answer, Console};
use pipeline_tests::dead_letter_queue::DeadLetterQueue;
use pipeline_tests::desk::Rows;
use pipeline_tests::failed_events::{NO_QUEUE, TOO_LONG, add_failed};
use pipeline_tests::openapi::OpenApi;
use pipeline_tests::outbox::Outbox;
use serde_json::{Value, json};
use service_kit::http::documents::Format;

type Tested = anyhow::Result<()>;

const NOBODYS: &str = "0190163d-8694-739b-aea5-966c26f8ad91";

/// Events and dead letters of every kind, and what people did with some.
async fn fill(outbox: &Outbox, desk: &DeadLetterQueue) -> Tested {
    add_failed(outbox, "order.created", ["returned", NO_QUEUE], 60).await?;
    add_failed(outbox, "order.shipped", ["nacked", TOO_LONG], 3).await?;
    let others = "
        INSERT INTO outbox (aggregate_type, aggregate_id, event_type, payload, headers, published_at, next_attempt_at, attempts, last_error) VALUES
            ('order', 'a/b', 'order.created', '{\"n\": 1.10}', '{\"h\": \"x\"}', NULL, 'infinity', 1, 'x'),
            ('order', 'a/b', 'order.shipped', '{}', '{}', NULL, NULL, 0, NULL),
            ('order', 'c', 'order.created', '7', '{}', now(), NULL, 1, NULL),
            ('order', 'd', 'order.created', '{}', '{}', NULL, now() + interval '1 day', 0, NULL),
            ('order', 'e', 'order.created', '{}', '{}', NULL, now() + interval '1 day', 2, 'y'),
            ('order', 'f', 'order.created', '{}', '{}', NULL, 'infinity', 0, NULL)";
    outbox.sql.batch_execute(others).await?;
    desk.add_rows(55, Rows::default()).await?;
    let binary =
        "UPDATE dead_letters SET body = '\\xff00', note = 'x', first_failed_at = now(), tries = 3
                  WHERE id = (SELECT min(id) FROM dead_letters)";
    desk.sql.execute(binary, &[]).await?;
    Ok(())
}

/// Ids of what the calls are asked about.
async fn paths(outbox: &Outbox, desk: &DeadLetterQueue, call: &str) -> anyhow::Result<Vec<String>> {
    let events = outbox.sql.query("SELECT event_id::text FROM outbox ORDER BY id", &[]).await?;
    let events: Vec<String> = events.iter().map(|row| row.get(0)).collect();
    let letters = desk.sql.query("SELECT id FROM dead_letters ORDER BY id LIMIT 3", &[]).await?;
    let letters: Vec<i64> = letters.iter().map(|row| row.get(0)).collect();
    let states = |path: &str, states: &[&str]| {
        states.iter().map(|state| format!("{path}?state={state}")).collect::<Vec<_>>()
    };
    let fixed = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect::<Vec<_>>();
    Ok(match call {
        "getOverview" => fixed(&["/api", "/api/"]),
        "listFailures" => fixed(&["/api/failures"]),
        "getCause" => fixed(&["/api/failures/00000000000000aa", "/api/failures/nothing"]),
        "listEvents" => [
            fixed(&["/api/events", "/api/events?since=1h&kind=x"]),
            states(
                "/api/events",
                &["pending", "waiting", "scheduled", "stuck", "parked", "published"],
            ),
        ]
        .concat(),
        "getEvent" => events
            .iter()
            .map(String::as_str)
            .skip(60)
            .chain([NOBODYS])
            .map(|id| format!("/api/events/{id}"))
            .collect(),
        "getAggregate" => fixed(&["/api/aggregates/order/a%2Fb", "/api/aggregates/order/none"]),
        "listDeadLetters" => {
            states("/api/dead-letters", &["open", "returning", "returned", "discarded", "any", "x"])
        }
        "groupDeadLetters" => {
            fixed(&["/api/dead-letters/groups", "/api/dead-letters/groups?kind=x"])
        }
        "getDeadLetter" => {
            letters.iter().chain(&[999_999]).map(|id| format!("/api/dead-letters/{id}")).collect()
        }
        "listPauses" => fixed(&["/api/pauses"]),
        "listRelays" => fixed(&["/api/relays"]),
        "listAudit" => {
            fixed(&["/api/audit", "/api/audit?action=discard", "/api/audit?since=never"])
        }
        "getAbout" => fixed(&["/api/about"]),
        "getChanges" => fixed(&["/api/changes"]),
        "search" => fixed(&["/api/search?q=nothing", "/api/search?q=order%2F7"]),
        "countChange" => {
            let (event, letter) = (&events[60], letters[0]);
            let mut paths = fixed(&[
                "/api/confirm/retry?stuck=true",
                "/api/confirm/retry?type=nothing",
                "/api/confirm/discard?fingerprint=00000000000000aa",
                "/api/confirm/replay?type=order.created",
                "/api/confirm/pause?type=order.created",
                "/api/confirm/pause",
                "/api/confirm/resume?all=true",
                "/api/confirm/return?kind=failed",
                "/api/confirm/destroy",
            ]);
            let by_event = ["edit", "edit-headers", "restore", "forget"];
            paths.extend(by_event.map(|name| format!("/api/confirm/{name}?event_id={event}")));
            let by_id = ["note", "edit-letter", "discard-letters", "forget-letters"];
            paths.extend(by_id.map(|name| format!("/api/confirm/{name}?id={}", letter + 1)));
            paths
        }
        "getOperation" => fixed(&["/api/operations/0190163d-8694-739b-aea5-966c26f8ad91"]),
        "getDocument" => fixed(&["/api/openapi.json"]),
        other => anyhow::bail!("{other} is documented, and this test does not ask for it"),
    })
}

/// Fails unless an answer is as documented.
fn check(document: &OpenApi, call: &Value, path: &str, answer: &Answer) -> Tested {
    let status = answer.status.as_u16();
    if status == 303 {
        ensure!(call["responses"]["303"].is_object(), "{path}: 303");
        return Ok(());
    }
    let content_type = answer.headers["content-type"].to_str()?;
    document.check(call, status, content_type, &answer.json()?).context(path.to_owned())
}

/// The changes that are asked for, in their order, with the status of each.
async fn changes(outbox: &Outbox, desk: &DeadLetterQueue) -> anyhow::Result<Vec<(Value, u16)>> {
    let events = outbox.sql.query("SELECT event_id::text FROM outbox ORDER BY id", &[]).await?;
    let event = |n: usize| events[n].get::<_, String>(0);
    let letters = desk.sql.query("SELECT id FROM dead_letters ORDER BY id", &[]).await?;
    let letter = |n: usize| letters[n].get::<_, i64>(0);
    let published = "SELECT event_id::text FROM outbox WHERE published_at IS NOT NULL";
    let published: String = outbox.sql.query_one(published, &[]).await?.get(0);
    Ok(vec![
        (json!({"action": "retry", "event_id": [event(0), published, NOBODYS]}), 409),
        (json!({"action": "retry", "event_id": event(1), "operation": NOBODYS}), 200),
        (json!({"action": "retry", "kind": "returned", "expect": 1, "up_to_id": 99}), 409),
        (json!({"action": "retry", "since": "x", "expect": 1, "up_to_id": 99}), 400),
        (json!({"action": "discard", "event_id": event(2), "reason": "x"}), 200),
        (json!({"action": "restore", "event_id": [event(2), event(3)], "reason": "x"}), 409),
        (
            json!({"action": "edit", "event_id": event(4), "payload": "{}", "type": "a", "reason": "x"}),
            200,
        ),
        (json!({"action": "pause", "type": "order.paid", "reason": "x", "for": "30m"}), 200),
        (json!({"action": "resume", "pause_id": [999]}), 409),
        (json!({"action": "note", "id": letter(1), "text": "x"}), 200),
        (json!({"action": "discard-letters", "id": letter(2), "reason": "x"}), 200),
        (json!({"action": "discard-letters", "id": [letter(2), 999_999], "reason": "x"}), 409),
        (json!({"action": "return", "id": letter(3)}), 200),
        (json!({"action": "retry", "expect": 1, "up_to_id": 99}), 400),
    ])
}

#[tokio::test]
async fn a_running_console_answers_each_call_as_the_document_says() -> Tested {
    let (outbox, desk) = (Outbox::new().await?, DeadLetterQueue::desk().await?);
    fill(&outbox, &desk).await?;
    let console = Console::start(&outbox, Some(&desk), &[]).await?;
    let document = OpenApi::parse(&console.page("/api/openapi.json").await?)?;
    let mut posts = document.calls().filter(|(_, method, _)| *method == "post");
    let (Some((path, _, begin)), None) = (posts.next(), posts.next()) else {
        anyhow::bail!("one call changes something");
    };
    let wait = format!("{path}?wait=60");
    for (body, status) in changes(&outbox, &desk).await? {
        let answer = console.post_json(&wait, &body, &[]).await?;
        ensure!(answer.status == status, "{body}: {} {}", answer.status, answer.text);
        check(&document, begin, path, &answer)?;
        let schema = &begin["requestBody"]["content"]["application/json"]["schema"];
        document.conforms(schema, &body).with_context(|| body.to_string())?;
    }
    let again = json!({"action": "note", "id": 1, "text": "x"});
    let begun = console.post_json(path, &again, &[]).await?;
    check(&document, begin, path, &begun)?;
    // Now there are audit rows, a pause and an operation, too; and one relay is at work.
    let _relay = outbox.relay_process(&[]).await?;
    for (_, method, call) in document.calls().filter(|(_, method, _)| *method == "get") {
        let id = call["operationId"].as_str().context(method.to_owned())?;
        for path in paths(&outbox, &desk, id).await? {
            check(&document, call, &path, &console.get(&path).await?)?;
        }
    }
    let hiding = [("CONSOLE_HIDE_PAYLOADS", "true")];
    let console = Console::start(&outbox, Some(&desk), &hiding).await?;
    for (_, _, call) in document.calls() {
        let id = call["operationId"].as_str().unwrap_or_default();
        if ["getEvent", "getDeadLetter", "listAudit", "countChange"].contains(&id) {
            for path in paths(&outbox, &desk, id).await? {
                check(&document, call, &path, &console.get(&path).await?)?;
            }
        }
    }
    Ok(())
}

#[test]
fn the_document_in_the_repository_is_the_one_of_the_code() -> Tested {
    let kept = std::fs::read_to_string(stack::root().join("openapi/outbox-console.yaml"))?;
    ensure!(
        kept == outbox_relay::openapi_document("", Format::Yaml),
        "openapi/outbox-console.yaml is stale: run cargo xtask openapi"
    );
    Ok(())
}

#[test]
fn every_call_has_an_id_a_tag_its_problems_and_true_examples() -> Tested {
    let text = outbox_relay::openapi_document("/outbox", Format::Json);
    let document = OpenApi::parse(&text)?;
    let mut ids = std::collections::BTreeSet::new();
    for (path, _, call) in document.calls() {
        ensure!(ids.insert(call["operationId"].to_string()), "{path}");
        ensure!(call["summary"].is_string() && call["security"].is_array(), "{path}");
        assert_eq!(call["tags"].as_array().map(Vec::len), Some(1), "{path}");
        for status in ["400", "401", "403", "421", "429", "500", "502", "503"] {
            let problem = &call["responses"][status]["content"]["application/problem+json"];
            ensure!(problem["schema"].is_object(), "{path} {status}");
        }
    }
    ensure!(document.check_examples()? > 100, "each problem has one");
    // What holds answers against it refuses what is missing, and what is not documented.
    let changes = json!({"$ref": "#/components/schemas/Changes"});
    document.conforms(&changes, &json!({"version": "1"}))?;
    for wrong in [json!({}), json!({"version": null}), json!({"version": "1", "more": 1})] {
        ensure!(document.conforms(&changes, &wrong).is_err(), "{wrong}");
    }
    let whole: Value = serde_json::from_str(&text)?;
    assert_eq!(whole["servers"][0]["url"], "/outbox");
    let schemas = &whole["components"]["schemas"];
    let changes =
        schemas["NewOperation"]["oneOf"].as_array().context("a schema for each action")?;
    assert_eq!(changes.len(), 23, "14 actions by id or by filter, and stop: {changes:?}");
    for change in changes {
        let name = change["$ref"].as_str().and_then(|path| path.rsplit('/').next());
        assert_eq!(schemas[name.context("a reference")?]["additionalProperties"], false);
    }
    let begin = &whole["paths"]["/api/operations"]["post"]["responses"];
    for (status, required) in [("202", true), ("400", false), ("502", false)] {
        let location = &begin[status]["headers"]["Location"];
        assert_eq!(location["required"] == true, required, "{status}: {location}");
    }
    let schemes = whole["components"]["securitySchemes"].as_object();
    assert_eq!(schemes.map(serde_json::Map::len), Some(2));
    Ok(())
}
