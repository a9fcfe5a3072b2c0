//! Variables in a developer's shell do not affect the tests.

use std::process::Command;

use pipeline_tests::command::psql;
use pipeline_tests::consumer::Consumer;
use pipeline_tests::consumer_fixture::ConsumerFixture;
use pipeline_tests::customer_api::CustomerApi;
use pipeline_tests::order_api::OrderApi;
use pipeline_tests::outbox::Outbox;
use pipeline_tests::pipeline::ready;
use pipeline_tests::terminal::on_a_terminal;

/// Settings with which a program would not start, would behave differently, or would not log.
const SET: [(&str, &str); 9] = [
    ("RUST_LOG", "off"),
    ("LOG_FORMAT", "json"),
    ("DATABASE_URL_FILE", "/nowhere"),
    ("RABBITMQ_URL_FILE", "/nowhere"),
    ("OUTBOX_TABLE", "no_such_table"),
    ("RELAY_ORDERING", "loose"),
    ("CUSTOMER_CHECK", "maybe"),
    ("CUSTOMER_SERVICE_URL", "here"),
    ("PGOPTIONS", "-c no.such=setting -c nonsense"),
];

#[tokio::test]
async fn each_program_starts_with_the_settings_of_its_test() -> anyhow::Result<()> {
    let outbox = Outbox::new().await?;
    outbox.relay(&[])?;
    ready(&outbox.relay_process(&[]).await?).await?;
    let status = on_a_terminal(&outbox, &["status"], "").await?;
    assert_eq!(status.code, Some(0), "{status:?}");
    assert!(psql()?.args(["-c", "SELECT 1", &outbox.database.url]).output()?.status.success());

    OrderApi::start().await?.create().await?;
    let fixture = ConsumerFixture::start().await?;
    CustomerApi::start(&fixture.database.url, &[]).await?.stop().await?;
    Consumer::launch(&fixture.database.url, &fixture.broker.amqp_url, &[]).await?.stop().await
}

#[test]
fn variables_of_the_shell_change_nothing() -> anyhow::Result<()> {
    let test = "shell_environment::each_program_starts_with_the_settings_of_its_test";
    let again =
        Command::new(std::env::current_exe()?).args(["--exact", test]).envs(SET).output()?;
    let said = String::from_utf8_lossy(&again.stdout);
    assert!(again.status.success() && said.contains("1 passed"), "{said}");
    Ok(())
}
