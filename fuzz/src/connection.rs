//! What a broker sends: from the first byte of the handshake, and on a connection with two channels.

use std::sync::LazyLock;
use std::time::Duration;

use amq_protocol::frame::{AMQPFrame, gen_frame};
use amq_protocol::protocol::{AMQPClass, basic, channel, confirm, connection};
use amq_protocol::types::ShortString;
use amqp::{Address, BrokerUrl, Channel, Connection, Failure, Message, content_header};
use tokio::io::{AsyncWriteExt as _, DuplexStream, duplex};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::memory::within;

/// Frames that both sides agree on, in bytes.
const FRAME_MAX: u32 = 131_072;

/// What the stream between both sides holds: more than any target sends.
const PIPE: usize = 1 << 20;

/// Messages that are published and wait for their confirms.
const WINDOW: usize = 6;

/// The longest reason why a connection ended, in characters: it is logged, and shown.
const LONGEST_REASON: usize = 1000;

/// What may be allocated besides a multiple of what came: the buffers of the pipe and of the
/// reader, and the room for a body that is announced on each channel.
const BUFFERS: usize = 6 << 20;

/// How the bytes of one run are divided.
#[derive(Debug, Clone, Copy)]
enum Split {
    Whole,
    /// Into parts of 1 to this many bytes.
    Parts(usize),
}

const SPLITS: [Split; 3] = [Split::Whole, Split::Parts(1), Split::Parts(37)];

/// What a connection was seen to do.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// Of each message that was delivered: tag, body, and properties.
    delivered: Vec<(u64, Vec<u8>, String)>,
    outcomes: String,
    ended: Option<String>,
    /// The broker closed a channel. What it sends there afterwards may be taken for something of
    /// the channel, or for something of none: that depends on whether the close was answered.
    has_closed_channel: bool,
}

/// A broker that sends these bytes from the beginning.
pub fn amqp_handshake(data: &[u8]) {
    let seen = SPLITS.map(|split| {
        within(BUFFERS + 64 * data.len(), || {
            block_on(async {
                let (ours, mut theirs) = duplex(PIPE);
                let (made, ()) = tokio::join!(connect(ours), async {
                    send(&mut theirs, data, split).await;
                    theirs.shutdown().await.expect("it was open");
                });
                made.map(drop).map_err(|error| format!("{error:#}"))
            })
        })
    });
    assert!(seen.iter().all(|other| *other == seen[0]), "{seen:#?}");
    if let Err(reason) = &seen[0] {
        is_short(reason);
    }
}

/// A broker that sends these bytes to a connection that consumes on channel 1, and waits on channel
/// 2 for the confirms of some messages.
pub fn amqp_connection(data: &[u8]) {
    let seen = SPLITS.map(|split| {
        within(BUFFERS + 300 * data.len(), || block_on(Box::pin(converse(data, split))))
    });
    is_short(seen[0].ended.as_deref().unwrap_or_default());
    if !seen.iter().any(|one| one.has_closed_channel) {
        assert!(seen.iter().all(|other| *other == seen[0]), "{seen:#?}");
    }
}

fn is_short(reason: &str) {
    let length = reason.chars().count();
    assert!(length <= LONGEST_REASON, "a reason of {length} characters");
}

/// Longer than any target takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

fn block_on<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: LazyLock<Runtime> =
        LazyLock::new(|| Builder::new_current_thread().enable_time().build().expect("a runtime"));
    RUNTIME.block_on(async { timeout(PATIENCE, future).await.expect("it hangs") })
}

async fn connect(stream: DuplexStream) -> anyhow::Result<Connection> {
    static URL: LazyLock<BrokerUrl> = LazyLock::new(|| {
        "amqp://guest:guest@broker.invalid/%2f?heartbeat=0".parse().expect("a URL")
    });
    let address: Address = URL.open(async |address| Ok(address), |_| Box::new(|| true)).await?;
    Connection::over(Box::new(stream), address, "fuzz", FRAME_MAX).await
}

async fn send(stream: &mut DuplexStream, data: &[u8], split: Split) {
    let size = match split {
        Split::Whole => data.len().max(1),
        Split::Parts(size) => size,
    };
    for part in data.chunks(size) {
        if stream.write_all(part).await.is_err() {
            // The connection ended over what it was sent.
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn converse(data: &[u8], split: Split) -> Seen {
    let (ours, mut theirs) = duplex(PIPE);
    send(&mut theirs, &HANDSHAKE, Split::Whole).await;
    let connection = connect(ours).await.expect("a handshake as it should be");
    let consumer = open(&connection, &mut theirs, 1).await;
    let (consuming, ()) = tokio::join!(consumer.consume("q", 100), async {
        send(&mut theirs, &of(1, basic::AMQPMethod::QosOk(basic::QosOk {})), Split::Whole).await;
        tokio::task::yield_now().await;
        let consumer_tag = "consumer".into();
        let ok = basic::AMQPMethod::ConsumeOk(basic::ConsumeOk { consumer_tag });
        send(&mut theirs, &of(1, ok), Split::Whole).await;
    });
    consuming.expect("as it should be");
    let publisher = open(&connection, &mut theirs, 2).await;
    let ok = AMQPClass::Confirm(confirm::AMQPMethod::SelectOk(confirm::SelectOk {}));
    let ok = bytes(2, ok);
    let (confirming, ()) = tokio::join!(publisher.confirm(), send(&mut theirs, &ok, Split::Whole));
    confirming.expect("as it should be");

    let messages = window();
    let exchange = ShortString::from("orders.events");
    let mut delivered = Vec::new();
    let (published, consumed, ()) = tokio::join!(
        publisher.publish(&exchange, &messages),
        take(&consumer, &mut delivered),
        async {
            tokio::task::yield_now().await;
            send(&mut theirs, data, split).await;
            theirs.shutdown().await.ok();
        }
    );
    while connection.ended().is_none() {
        tokio::task::yield_now().await;
    }
    // What came behind the end of the consumer.
    take(&consumer, &mut delivered).await;
    let is_closed = |failure: &Failure| matches!(failure, Failure::Refused(_));
    Seen {
        delivered,
        outcomes: format!("{:?}", publisher.outcomes(&messages)),
        ended: connection.ended().map(ToOwned::to_owned),
        has_closed_channel: published.as_ref().is_err_and(is_closed)
            || is_closed(&consumed)
            || is_closed(&publisher.closed().await)
            || is_closed(&consumer.closed().await),
    }
}

/// Takes messages until no more come, and returns why.
async fn take(channel: &Channel, delivered: &mut Vec<(u64, Vec<u8>, String)>) -> Failure {
    loop {
        match channel.deliveries(10, 1 << 20).await {
            Ok(deliveries) => delivered.extend(deliveries.iter().map(|delivery| {
                let properties = format!("{:?}", delivery.properties());
                let start: String = properties.chars().take(100).collect();
                (delivery.info.tag, delivery.body.to_vec(), start)
            })),
            Err(failure) => return failure,
        }
    }
}

async fn open(connection: &Connection, theirs: &mut DuplexStream, id: u16) -> Channel {
    let ok = AMQPClass::Channel(channel::AMQPMethod::OpenOk(channel::OpenOk {}));
    let ok = bytes(id, ok);
    let (opened, ()) = tokio::join!(Channel::open(connection), send(theirs, &ok, Split::Whole));
    opened.expect("as it should be")
}

fn window() -> Vec<Message> {
    let message = |number: usize| Message {
        message_id: number.to_string(),
        exchange: None,
        routing_key: "order.created".into(),
        content_header: content_header(2, &Default::default()),
        body: "{}".into(),
    };
    (0..WINDOW).map(message).collect()
}

/// A broker's part of the handshake.
static HANDSHAKE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let start = connection::Start {
        version_major: 0,
        version_minor: 9,
        server_properties: Default::default(),
        mechanisms: "PLAIN".into(),
        locales: "en_US".into(),
    };
    let tune = connection::Tune { channel_max: 2047, frame_max: FRAME_MAX, heartbeat: 0 };
    let methods = [
        connection::AMQPMethod::Start(start),
        connection::AMQPMethod::Tune(tune),
        connection::AMQPMethod::OpenOk(connection::OpenOk {}),
    ];
    methods.map(|method| bytes(0, AMQPClass::Connection(method))).concat()
});

fn of(channel: u16, method: basic::AMQPMethod) -> Vec<u8> {
    bytes(channel, AMQPClass::Basic(method))
}

fn bytes(channel: u16, method: AMQPClass) -> Vec<u8> {
    let frame = AMQPFrame::Method(channel, method);
    let written = gen_frame(&frame)(Vec::new().into()).expect("a Vec takes everything");
    written.into_inner().0
}
