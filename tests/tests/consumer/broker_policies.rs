//! Messages that the broker removes from the consumer's queue by itself are not lost.

use pipeline_tests::consumer_fixture::{
    ConsumerFixture, DEAD_LETTER_QUEUE, QUEUE, orders_of, until,
};
use serde_json::json;
use stack::Management;

type Tested = anyhow::Result<()>;

/// Messages that an administrator's policy removes from the work queue.
#[tokio::test]
async fn what_a_policy_takes_out_of_the_work_queue_becomes_a_dead_letter() -> Tested {
    for (definition, dead) in [(json!({"message-ttl": 100}), 3), (json!({"delivery-limit": 2}), 1)]
    {
        let fixture = ConsumerFixture::start().await?;
        let customer = fixture.customer().await?;
        fixture.consumer(&[]).await?.stop().await?;
        let management = Management::new(&fixture.broker.management_url)?;
        let policy = json!({"pattern": format!("^{QUEUE}$"), "apply-to": "queues", "definition": definition});
        management.put(&format!("/api/policies/{}/taken", fixture.broker.name), &policy).await?;
        fixture.publish_all(orders_of(dead, customer)).await?;
        if definition["delivery-limit"].is_u64() {
            let options = lapin::options::BasicNackOptions { requeue: true, multiple: false };
            while fixture.waiting(DEAD_LETTER_QUEUE).await? == 0 {
                if let Some(message) =
                    fixture.channel.basic_get(QUEUE.into(), Default::default()).await?
                {
                    message.nack(options).await?;
                }
            }
        }
        until(async || {
            Ok((usize::try_from(fixture.waiting(DEAD_LETTER_QUEUE).await?)? == dead).then_some(()))
        })
        .await?;
    }
    Ok(())
}

/// By default the broker drops messages redelivered too often: RabbitMQ 4 after 20 times.
#[tokio::test]
async fn a_message_that_is_returned_a_hundred_times_is_still_there() -> Tested {
    let fixture = ConsumerFixture::start().await?;
    let customer = fixture.customer().await?;
    fixture.consumer(&[]).await?.stop().await?;
    fixture.publish_all(orders_of(1, customer)).await?;
    for _ in 0..100 {
        let message = until(async || {
            let got = fixture.channel.basic_get(QUEUE.into(), Default::default()).await?;
            Ok(got)
        });
        let options = lapin::options::BasicNackOptions { requeue: true, multiple: false };
        message.await?.nack(options).await?;
    }
    let consumer = fixture.consumer(&[]).await?;
    fixture.counted(customer, 1).await?;
    fixture.finished(consumer).await
}
