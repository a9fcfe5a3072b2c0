//! What consumers have applied, on the page of an event: with the file and the login of the
//! deployment.

use anyhow::ensure;
use pipeline_tests::console::Console;
use pipeline_tests::outbox::Outbox;
use pipeline_tests::relay_command::outbox_relay;
use pipeline_tests::service_role::Migrated;
use pipeline_tests::temp_folder::TempFolder;

const ROLES: &str = include_str!("../../../sql/customer/roles.sql");
const INBOXES: &str = include_str!("../../../deploy/compose/inboxes.toml");
const MANIFEST: &str = include_str!("../../../deploy/kubernetes/base/console.yaml");

/// The secret that the file names in a container.
const SECRET: &str = "/run/secrets/customer-inbox-database-url";

type Tested = anyhow::Result<()>;

#[tokio::test]
async fn the_page_of_an_event_says_whether_the_consumer_has_counted_it() -> Tested {
    let (outbox, customers) = (Outbox::new().await?, Migrated::by("customer-service").await?);
    customers.owner.batch_execute(ROLES).await?;
    let folder = TempFolder::new()?;
    folder.write("url", &customers.database.url_as("customer_inbox").await?)?;
    let inboxes = folder.write("inboxes.toml", &INBOXES.replace(SECRET, "url"))?;
    let console = Console::start(&outbox, None, &[("OUTBOX_INBOXES", &inboxes)]).await?;
    outbox.add("1", "order.created").await?;
    outbox.sql.batch_execute("UPDATE outbox SET published_at = now()").await?;
    let event_id: String =
        outbox.sql.query_one("SELECT event_id::text FROM outbox", &[]).await?.get(0);
    let path = format!("/events/{event_id}");
    let page = console.page(&path).await?;
    ensure!(page.contains("<bdi>customer-service</bdi> has not applied it"), "{page}");
    let count = "INSERT INTO processed_events (event_id) VALUES ($1::text::uuid)";
    customers.owner.execute(count, &[&event_id]).await?;
    let page = console.page(&path).await?;
    ensure!(page.contains("<bdi>customer-service</bdi> has applied it"), "{page}");
    Ok(())
}

#[test]
fn kubernetes_has_the_same_inboxes() {
    let settings = INBOXES.lines().filter(|line| !line.starts_with('#') && !line.contains(SECRET));
    for line in settings {
        assert!(MANIFEST.contains(&format!("    {line}\n")), "{line}");
    }
}

#[tokio::test]
async fn a_wrong_file_of_inboxes_ends_the_console_at_its_start() -> Tested {
    let folder = TempFolder::new()?;
    for (text, said) in
        [("[[inbox]]\nname = 1", "in the file "), (INBOXES, "the inbox customer-service: ")]
    {
        let inboxes = folder.write("inboxes.toml", text)?;
        let settings = [("DATABASE_URL", "postgres://x@127.0.0.1/x"), ("OUTBOX_INBOXES", &inboxes)];
        let ended = outbox_relay(&["console"], &settings).await?;
        ensure!(ended.code == Some(64), "{ended:?}");
        ensure!(ended.err.contains("OUTBOX_INBOXES") && ended.err.contains(said), "{ended:?}");
    }
    Ok(())
}
