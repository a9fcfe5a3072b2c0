//! `dead-letters collect` with a broker that takes its time to deliver.

use anyhow::ensure;
use lapin::options::{BasicPublishOptions, ExchangeDeclareOptions, QueueBindOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, ExchangeKind};
use pipeline_tests::dead_letter_queue::{DeadLetterQueue, QUEUE};
use pipeline_tests::outbox::eventually;
use pipeline_tests::pipeline::PATIENCE;
use pipeline_tests::proxy::{Faults, Proxy};
use stack::Service;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

type Tested = anyhow::Result<()>;

/// Type, channel and size before a frame's contents, and the octet after them.
const AROUND_A_FRAME: usize = 8;

/// The broker's frames `connection.tune` and `connection.open-ok`.
const REST_OF_HANDSHAKE: usize = 20 + 13;

/// Room for the answers to a consumer's requests, or to some measurements of the depth; less than
/// the `basic.deliver` of a message with long names.
const ROOM: usize = 300;

/// The bytes that the broker at `url` sends until a connection is open.
async fn handshake(url: &str) -> anyhow::Result<usize> {
    let mut broker = TcpStream::connect(pipeline_tests::tcp_server::server_of(url)?).await?;
    broker.write_all(b"AMQP\x00\x00\x09\x01").await?;
    let mut head = [0; 7];
    broker.read_exact(&mut head).await?;
    let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]);
    Ok(usize::try_from(size)? + AROUND_A_FRAME + REST_OF_HANDSHAKE)
}

/// Adds a message whose delivery is announced by more than [`ROOM`] bytes.
async fn add_with_long_names(desk: &DeadLetterQueue) -> Tested {
    let (exchange, key) = ("e".repeat(200), "k".repeat(250));
    let (options, none) = (ExchangeDeclareOptions::default(), FieldTable::default());
    desk.channel
        .exchange_declare(exchange.as_str().into(), ExchangeKind::Fanout, options, none.clone())
        .await?;
    let bind = QueueBindOptions::default();
    desk.channel.queue_bind(QUEUE.into(), exchange.as_str().into(), "".into(), bind, none).await?;
    let options = BasicPublishOptions { mandatory: true, immediate: false };
    let (exchange, key) = (exchange.into(), key.into());
    let properties = BasicProperties::default();
    let publish = desk.channel.basic_publish(exchange, key, options, b"x", properties).await?;
    ensure!(publish.await?.is_ack(), "the broker did not take it");
    Ok(())
}

/// RabbitMQ counts messages as delivered before it has read them from its disk: the queue looks
/// empty, and nothing arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_are_delivered_and_have_not_arrived_are_waited_for() -> Tested {
    let desk = DeadLetterQueue::start().await?;
    add_with_long_names(&desk).await?;
    let (proxy, url) = Proxy::before(&desk.broker.amqp_url)?;
    let hold_after = Some(handshake(&desk.broker.amqp_url).await? + ROOM);
    proxy.to_client(Faults { hold_after, ..Faults::default() });
    let settings =
        [("DEAD_LETTERS_DATABASE_URL", desk.database.url.as_str()), ("RABBITMQ_URL", &url)];
    let arguments = ["dead-letters", "collect", "--queue", QUEUE];
    let collector =
        Service::spawn(stack::binary("outbox-relay").await?, arguments, settings).await?;
    // It looks at queue and database again and again, and does not take the queue for collected.
    let mut looks = std::collections::BTreeSet::new();
    eventually("it looks three times", async || {
        ensure!(collector.is_running(), "it has ended; {}", collector.last_lines());
        let look = "SELECT query_start::text FROM pg_stat_activity
                    WHERE application_name = 'outbox-relay dead-letters collect'
                      AND datname = current_database() AND query = 'SELECT 1'";
        looks.extend(desk.sql.query(look, &[]).await?.iter().map(|row| row.get::<_, String>(0)));
        Ok(looks.len() >= 3)
    })
    .await?;
    assert_eq!((desk.rows().await?, desk.depth().await?.0), (0, 0));

    proxy.to_client(Faults::default());
    let ended = collector.wait_exit(PATIENCE).await?;
    assert!(ended.success(), "{}", collector.last_lines());
    assert_eq!((desk.rows().await?, desk.depth().await?.0), (1, 0));
    Ok(())
}
