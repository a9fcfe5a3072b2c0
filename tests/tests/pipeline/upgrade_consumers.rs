//! Upgrading the consumers under load: consumers of the previous release and of this one share the
//! queues, in the runbook's order.

use anyhow::ensure;
use lapin::options::QueueDeleteOptions;
use pipeline_tests::consumer_fixture::{ConsumerFixture, QUEUE, orders_of, until};
use pipeline_tests::pipeline::{PATIENCE, ready};
use pipeline_tests::previous_release::PreviousRelease;
use pipeline_tests::readiness::readiness;
use stack::Service;
use uuid::Uuid;

/// Waits until a consumer's report about the broker contains this.
async fn says(consumer: &Service, part: &str) -> anyhow::Result<()> {
    until(async || {
        let told = readiness(consumer).await?;
        let reason = told["dependencies"]["rabbitmq"]["reason"].as_str().unwrap_or_default();
        Ok(reason.contains(part).then_some(()))
    })
    .await
}

/// Publishes some events and waits until all published ones are counted.
async fn counted(
    fixture: &ConsumerFixture,
    customer: Uuid,
    published: &mut usize,
) -> anyhow::Result<()> {
    fixture.publish_all(orders_of(100, customer)).await?;
    *published += 100;
    fixture.counted(customer, i64::try_from(*published)?).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_of_both_releases_share_the_queue_of_the_last_one_until_it_is_rebuilt()
-> anyhow::Result<()> {
    let before = PreviousRelease::get().await?;
    let fixture = ConsumerFixture::start().await?;
    let (customer, mut published) = (fixture.customer().await?, 0);
    let old = before.consumer_process(&fixture).await?;
    ready(&old).await?;
    counted(&fixture, customer, &mut published).await?;

    // The new one leaves the queue unchanged, and reports that.
    let new = fixture.consumer_process(&[]).await?;
    ready(&new).await?;
    new.wait_for_line("rebuild-queue", PATIENCE).await?;
    ensure!(!fixture.is_queue_new().await?);
    counted(&fixture, customer, &mut published).await?;
    // So that the old one can restart, and continue alone.
    old.sigkill()?;
    counted(&fixture, customer, &mut published).await?;
    let old = before.consumer_process(&fixture).await?;
    ready(&old).await?;
    counted(&fixture, customer, &mut published).await?;
    new.sigkill()?;
    counted(&fixture, customer, &mut published).await?;

    // The last step, once no old consumer runs.
    let refused = fixture.command(&["rebuild-queue"]).await?;
    ensure!(refused.code == Some(1), "{refused:?}");
    old.sigterm()?;
    old.wait_exit(PATIENCE).await?;
    let rebuilt = fixture.command(&["rebuild-queue"]).await?;
    ensure!(rebuilt.code == Some(0), "{rebuilt:?}");
    let new = fixture.consumer_process(&[]).await?;
    ready(&new).await?;
    ensure!(readiness(&new).await?["notes"]["topology"].is_null());
    counted(&fixture, customer, &mut published).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_of_the_last_release_does_not_begin_on_the_queue_of_this_one()
-> anyhow::Result<()> {
    let before = PreviousRelease::get().await?;
    let fixture = ConsumerFixture::start().await?;
    let (customer, mut published) = (fixture.customer().await?, 0);
    let new = fixture.consumer_process(&[]).await?;
    ready(&new).await?;
    let old = before.consumer_process(&fixture).await?;
    says(&old, "exists already, but otherwise than it has to be").await?;
    // It does no harm.
    counted(&fixture, customer, &mut published).await?;

    // The rollback: the queue is emptied and deleted.
    new.sigterm()?;
    new.wait_exit(PATIENCE).await?;
    ensure!(fixture.waiting(QUEUE).await? == 0);
    fixture.channel.queue_delete(QUEUE.into(), QueueDeleteOptions::default()).await?;
    ready(&old).await?;
    counted(&fixture, customer, &mut published).await
}
