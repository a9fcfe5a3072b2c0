//! Changes as JSON: what becomes a form, and what is refused.

use super::*;

fn read(json: &Value) -> Result<Form, Vec<String>> {
    form(json.to_string().as_bytes())
}

#[test]
fn a_change_becomes_the_form_of_a_page() {
    let json = serde_json::json!({
        "action": "discard", "type": "order.created", "stuck": true, "expect": 300,
        "up_to_id": 9_007_199_254_740_993_i64, "reason": "a test",
    });
    let form = read(&json).expect("a form");
    let discard = actions::find("discard").expect("an action");
    assert_eq!(
        discard.confirmed(&form).0.typed(),
        "outbox-relay discard --type order.created --stuck --expect 300 --up-to-id 9007199254740993"
    );
    assert_eq!(form.get("reason"), Some("a test"));
    assert_eq!(form.get("typed"), Some("300"));
    assert!(form.get("operation").is_some_and(|id| id.parse::<Uuid>().is_ok()));
    let many = serde_json::json!({"action": "return", "id": [7, "8", 8], "rate": "50/s"});
    let form = read(&many).expect("a form");
    assert_eq!((form.all("id").count(), form.get("typed")), (3, Some("2")));
}

#[test]
fn each_fault_is_named_with_its_remedy() {
    for (json, said) in [
        (serde_json::json!({"action": "destroy"}), "`action` must be one of retry, discard,"),
        (
            serde_json::json!({"action": "retry", "typ": "x", "stuck": true, "expect": 1, "up_to_id": 1}),
            "`typ` is no field of retry: leave it out. It has aggregate, ",
        ),
        (
            serde_json::json!({"action": "retry", "stuck": true}),
            "`expect` is missing: how many match now; GET /api/confirm/retry",
        ),
        (
            serde_json::json!({"action": "retry", "stuck": true, "expect": 2}),
            "`up_to_id` is missing: ",
        ),
        (
            serde_json::json!({"action": "retry", "stuck": true, "expect": 1.5, "up_to_id": 1}),
            "`expect` must be a whole number",
        ),
        (serde_json::json!({"action": "retry", "expect": 1, "up_to_id": 1}), "Nothing is selected"),
        (
            serde_json::json!({"action": "retry", "event_id": "x", "type": "y"}),
            "`event_id` names them already: leave out `type`",
        ),
        (
            serde_json::json!({"action": "retry", "event_id": ["x", "y"], "expect": 3}),
            "`expect` is 3, and `event_id` names 2",
        ),
        (serde_json::json!({"action": "forget", "event_id": "x"}), "`reason` is missing"),
        (serde_json::json!({"action": "edit", "reason": "x"}), "`event_id` is missing"),
        (serde_json::json!({"action": "edit", "payload": {}}), "`payload` must be text"),
        (
            serde_json::json!({"action": "retry", "if_unchanged": "x"}),
            "`if_unchanged` is no field of retry",
        ),
        (serde_json::json!({"action": "pause", "reason": "x"}), "Nothing is named: give one of"),
        (serde_json::json!({"action": "pause", "pause_id": 1}), "`pause_id` is no field"),
        (serde_json::json!({"action": "note", "id": 1}), "`text` is missing: in place of"),
        (serde_json::json!({"action": "retry", "type": ["a"]}), "`type` must be one value"),
        (serde_json::json!({"action": "retry", "operation": "1"}), "`operation` is no UUID"),
        (serde_json::json!({"action": "pause", "all": 0}), "`all` must be true or false"),
        (serde_json::json!({"action": "retry", "stuck": "no"}), "`stuck` must be true or"),
        (serde_json::json!({"action": "retry", "type": "a\0"}), "`type` has a NUL character"),
        (serde_json::json!({"action": "retry", "type": "x".repeat(70_000)}), "`type` is too"),
        (serde_json::json!({"action": "stop"}), "`stop` has one field, `operation`"),
        (serde_json::json!([]), "The body is no change as JSON"),
    ] {
        let faults = read(&json).expect_err(said);
        assert!(faults.iter().any(|fault| fault.starts_with(said)), "{json}: {faults:?}");
    }
}

#[test]
fn a_body_of_many_members_ids_or_faults_is_read_no_further() {
    let members: serde_json::Map<String, Value> =
        (0..100).map(|number| (format!("m{number}"), Value::from(1))).collect();
    let faults = read(&Value::Object(members)).expect_err("too many");
    assert!(faults[0].contains("too many members"), "{faults:?}");
    let mut members: serde_json::Map<String, Value> =
        (0..50).map(|number| (format!("m{number}"), Value::from(1))).collect();
    members.insert("action".to_owned(), "retry".into());
    assert_eq!(read(&Value::Object(members)).expect_err("unknown").len(), FAULTS);
    let many = serde_json::json!({"action": "retry", "event_id": vec![1; 100_000]});
    assert_eq!(read(&many).expect_err("too long")[0], "`event_id` is too long.");
    let twice = form(br#"{"action": "retry", "type": "a", "type": "b"}"#).expect_err("twice");
    assert!(twice[0].contains("is there twice"), "{twice:?}");
}
