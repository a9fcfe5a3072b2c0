//! Free TCP ports on 127.0.0.1.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::Context;

/// Below the ephemeral port range: a stopped server finds its port still free on restart, and a
/// client that keeps retrying never connects to itself.
const RANGE: std::ops::Range<u16> = 20_000..30_000;

/// Whether this port of 127.0.0.1 is free.
#[must_use]
pub fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

/// A free port, chosen at random so that concurrent tests rarely choose the same one.
///
/// # Errors
/// When a thousand tries hit ports in use.
pub fn free_port() -> anyhow::Result<u16> {
    (0..1000)
        .map(|_| rand::random_range(RANGE))
        .find(|port| is_free(*port))
        .context("no free TCP port between 20000 and 30000")
}

/// The first free port from `first` on.
///
/// # Errors
/// When none of the hundred from there is free.
pub(crate) fn next_free(first: u16) -> anyhow::Result<u16> {
    let last = first.saturating_add(100);
    (first..last)
        .find(|port| is_free(*port))
        .with_context(|| format!("no free TCP port between {first} and {last}"))
}

/// The four ports of a RabbitMQ node.
#[derive(Clone, Copy, Debug)]
pub struct Ports {
    pub(crate) amqp: u16,
    pub(crate) management: u16,
    pub(crate) epmd: u16,
    pub(crate) dist: u16,
}

impl Ports {
    /// Four free ports.
    ///
    /// # Errors
    /// When there are none.
    pub fn any() -> anyhow::Result<Self> {
        let mut free: Vec<u16> = Vec::with_capacity(4);
        while free.len() < 4 {
            let port = free_port()?;
            if !free.contains(&port) {
                free.push(port);
            }
        }
        Ok(Self { amqp: free[0], management: free[1], epmd: free[2], dist: free[3] })
    }

    /// RabbitMQ's default ports, or the next free ones. The port mapper avoids its default, 4369,
    /// which belongs to the system's node.
    ///
    /// # Errors
    /// When there are none.
    pub fn usual() -> anyhow::Result<Self> {
        Ok(Self {
            amqp: next_free(5672)?,
            management: next_free(15672)?,
            epmd: next_free(14369)?,
            dist: next_free(25672)?,
        })
    }
}
