//! `outbox-relay forget --with-reasons`: what people typed as reasons is erased, too.

use pipeline_tests::edited_events::add;
use pipeline_tests::outbox::Outbox;
use pipeline_tests::person::can_not_rewrite_reasons;
use serde_json::json;

#[tokio::test]
async fn the_reasons_of_what_was_done_to_an_event_are_erased_when_that_is_asked()
-> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    let admin = outbox.person("outbox_admin").await?;
    let id = add(&outbox, "7", Some("infinity")).await?;
    let other = add(&outbox, "8", Some("infinity")).await?;
    for id in [&id, &other] {
        let discard = ["discard", id, "--reason", "SECRET of the customer"];
        assert_eq!(outbox.command_as(&admin, &discard).await?.code, Some(0));
    }
    can_not_rewrite_reasons(&admin, "outbox_audit").await?;
    let forget = ["forget", &id, "--yes", "--json", "--reason", "request 118"];
    assert_eq!(outbox.command_as(&admin, &forget).await?.code, Some(0));
    let secrets = "SELECT count(*) FROM outbox_audit WHERE reason LIKE 'SECRET%'";
    assert_eq!(outbox.count(secrets, &[]).await?, 2, "it says why, unless that is to go as well");

    for member in ["forgotten", "forgotten_before"] {
        let forget = [&forget[..], &["--with-reasons"]].concat();
        let ended = outbox.command_as(&admin, &forget).await?;
        assert_eq!(ended.code, Some(0), "{ended:?}");
        assert_eq!(ended.json()?[member], json!([id]), "{member}: {ended:?}");
    }
    assert_eq!(outbox.count(secrets, &[]).await?, 1, "that of the other event");
    let requests =
        "SELECT count(*) FROM outbox_audit WHERE action = 'forget' AND reason = 'request 118'";
    assert_eq!(outbox.count(requests, &[]).await?, 2, "what was erased is accounted for");
    Ok(())
}
