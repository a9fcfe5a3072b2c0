//! Messages that other programs can publish and that few client libraries can read: the broker does
//! not validate everything.

use amqp::BrokerUrl;
use amqp::{Channel, Connection, Message, content_header};
use anyhow::Context as _;
use lapin::BasicProperties;
use uuid::Uuid;

/// Nested arrays, each of which takes five bytes of a header: 25 KB.
const LEVELS: u32 = 5000;

/// The property flags: headers and message-id.
const FLAGS: u16 = 1 << 13 | 1 << 7;

/// What is wrong with a message.
#[derive(Debug, Clone, Copy)]
pub enum Malformed {
    /// A correlation id that is not valid UTF-8.
    Latin1,
    /// A header of arrays nested 5,000 levels deep.
    NestedHeader,
}

/// Publishes a message and waits for its confirm.
///
/// # Errors
/// When the broker does not take it.
pub async fn publish_malformed(
    url: &str,
    exchange: &str,
    routing_key: &str,
    foreign: Malformed,
    body: Vec<u8>,
) -> anyhow::Result<()> {
    let url: BrokerUrl = url.parse().map_err(anyhow::Error::msg)?;
    let connection = Connection::open(&url, "a foreign publisher", 128 << 10).await?;
    let channel = Channel::open(&connection).await?;
    channel.confirm().await?;
    let message_id = Uuid::now_v7().to_string();
    let content_header = match foreign {
        Malformed::Latin1 => latin1(&message_id, body.len())?,
        Malformed::NestedHeader => nested(&message_id, body.len())?,
    };
    let message = Message {
        message_id,
        exchange: None,
        routing_key: routing_key.into(),
        content_header,
        body: body.into(),
    };
    channel.publish(&exchange.into(), &[message]).await?;
    connection.close().await;
    Ok(())
}

fn latin1(message_id: &str, body_size: usize) -> anyhow::Result<Vec<u8>> {
    let properties = BasicProperties::default()
        .with_correlation_id("caf\u{e9}s".into())
        .with_message_id(message_id.into());
    let mut content_header = content_header(body_size, &properties);
    let place = content_header.windows(2).position(|two| two == "\u{e9}".as_bytes());
    let place = place.context("it is there")?;
    // Latin-1 é, twice.
    content_header[place..place + 2].fill(0xE9);
    Ok(content_header)
}

/// Written byte by byte: the library's encoder is recursive, as its decoder is.
fn nested(message_id: &str, body_size: usize) -> anyhow::Result<Vec<u8>> {
    let mut table = b"\x01n".to_vec();
    for level in (0..LEVELS).rev() {
        table.push(b'A');
        table.extend((level * 5).to_be_bytes());
    }
    let mut content_header = content_header(body_size, &BasicProperties::default());
    // Replaces the flags of a header without properties.
    content_header.truncate(12);
    content_header.extend(FLAGS.to_be_bytes());
    content_header.extend(u32::try_from(table.len())?.to_be_bytes());
    content_header.extend(table);
    content_header.push(u8::try_from(message_id.len())?);
    content_header.extend(message_id.as_bytes());
    Ok(content_header)
}
