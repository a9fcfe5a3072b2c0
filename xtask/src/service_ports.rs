//! The ports of the services.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context as _, bail};

use crate::port_owner::port_owner;

/// The services' ports on 127.0.0.1.
#[derive(Clone, Debug)]
pub(crate) struct ServicePorts {
    pub(crate) order_api: u16,
    pub(crate) customer_api: u16,
    /// order-service, outbox-relay, customer api, customer consumer
    pub(crate) ops: [u16; 4],
    /// The collector of dead letters.
    pub(crate) desk_ops: Option<u16>,
    pub(crate) console: u16,
    pub(crate) console_ops: u16,
}

impl ServicePorts {
    /// The documented ports, or nine consecutive ones from `base`. The desk's among them stays free
    /// without the desk, so that the console's are the same.
    pub(crate) fn new(base: Option<u16>, desk: bool) -> anyhow::Result<Self> {
        let Some(base) = base else {
            let ops = [9000, 9001, 9002, 9003];
            let desk_ops = desk.then_some(9004);
            let (console, console_ops) = (9010, 9011);
            let (order_api, customer_api) = (3000, 3001);
            return Ok(Self { order_api, customer_api, ops, desk_ops, console, console_ops });
        };
        base.checked_add(8)
            .context("--port-base leaves no room for the services' ports below 65536")?;
        Ok(Self {
            order_api: base,
            customer_api: base + 1,
            ops: [base + 2, base + 3, base + 4, base + 5],
            desk_ops: desk.then(|| base + 6),
            console: base + 7,
            console_ops: base + 8,
        })
    }

    /// Fails if a port is taken, naming the first one and its owner.
    pub(crate) fn check_free(&self) -> anyhow::Result<()> {
        for (port, name) in self.named() {
            if !stack::is_free(port) {
                let owner = port_owner(port).unwrap_or_else(|| "another process".to_owned());
                bail!(
                    "port {port}, for {name}, is taken by {owner}; stop that, or choose other \
                     ports for the services, such as `cargo xtask up --port-base 4000`"
                );
            }
        }
        Ok(())
    }

    /// Binds the ports until the result is dropped, so that nothing else takes them.
    pub(crate) fn occupy(&self) -> Vec<TcpListener> {
        let listen = |(port, _)| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok();
        self.named().into_iter().filter_map(listen).collect()
    }

    fn named(&self) -> Vec<(u16, &'static str)> {
        let desk = self.desk_ops.map(|port| (port, "the operations port of dead-letters"));
        let services = [
            (self.order_api, "order-service"),
            (self.customer_api, "customer-service"),
            (self.ops[0], "the operations port of order-service"),
            (self.ops[1], "the operations port of outbox-relay"),
            (self.ops[2], "the operations port of customer-service"),
            (self.ops[3], "the operations port of customer-consumer"),
            (self.console, "the console"),
            (self.console_ops, "the operations port of the console"),
        ];
        services.into_iter().chain(desk).collect()
    }
}
