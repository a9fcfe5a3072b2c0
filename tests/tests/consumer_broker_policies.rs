//! What a broker would take out of the consumer's queue by itself: nothing is lost with it.

use pipeline_tests::counting::{Counting, DEAD_LETTER_QUEUE, QUEUE, orders_of, until};
use serde_json::json;
use stack::Management;

type Tested = anyhow::Result<()>;

/// What an administrator's policy takes out of the work queue.
#[tokio::test]
async fn what_a_policy_takes_out_of_the_work_queue_becomes_a_dead_letter() -> Tested {
    for (definition, dead) in [(json!({"message-ttl": 100}), 3), (json!({"delivery-limit": 2}), 1)]
    {
        let counting = Counting::start().await?;
        let customer = counting.customer().await?;
        counting.consumer(&[]).await?.stop().await?;
        let management = Management::new(&counting.broker.management_url)?;
        let policy = json!({"pattern": format!("^{QUEUE}$"), "apply-to": "queues", "definition": definition});
        management.put(&format!("/api/policies/{}/taken", counting.broker.name), &policy).await?;
        counting.publish_all(orders_of(dead, customer)).await?;
        if definition["delivery-limit"].is_u64() {
            let options = lapin::options::BasicNackOptions { requeue: true, multiple: false };
            while counting.waiting(DEAD_LETTER_QUEUE).await? == 0 {
                if let Some(message) =
                    counting.channel.basic_get(QUEUE.into(), Default::default()).await?
                {
                    message.nack(options).await?;
                }
            }
        }
        until(async || {
            Ok((usize::try_from(counting.waiting(DEAD_LETTER_QUEUE).await?)? == dead).then_some(()))
        })
        .await?;
    }
    Ok(())
}

/// The broker drops what was returned too often, unless told otherwise: RabbitMQ 4 after 20 times.
#[tokio::test]
async fn a_message_that_is_returned_a_hundred_times_is_still_there() -> Tested {
    let counting = Counting::start().await?;
    let customer = counting.customer().await?;
    counting.consumer(&[]).await?.stop().await?;
    counting.publish_all(orders_of(1, customer)).await?;
    for _ in 0..100 {
        let message = until(async || {
            let got = counting.channel.basic_get(QUEUE.into(), Default::default()).await?;
            Ok(got)
        });
        let options = lapin::options::BasicNackOptions { requeue: true, multiple: false };
        message.await?.nack(options).await?;
    }
    let consumer = counting.consumer(&[]).await?;
    counting.counted(customer, 1).await?;
    counting.finished(consumer).await
}
