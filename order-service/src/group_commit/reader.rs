//! Takes batches out of the queue.

use std::time::Instant;

use tokio::sync::mpsc;

use super::queue::QueuedOrder;
use crate::domain::OrderToWrite;
use crate::metrics;

/// The most orders in a batch. It bounds the time of a commit, for which the next batch waits.
const MAX_ROWS: usize = 256;

/// The most bytes in a batch, as [`estimated_bytes`] counts them; more than a single order can
/// have.
const MAX_BYTES: usize = 512 * 1024;

/// Bytes of an order's rows besides their texts.
const ROW_OVERHEAD_BYTES: usize = 200;

/// The receiving end of the queue.
#[derive(Debug)]
pub(crate) struct BatchReader {
    receiver: mpsc::Receiver<QueuedOrder>,
    /// The order that did not fit into the last batch.
    next: Option<QueuedOrder>,
}

impl BatchReader {
    pub(super) const fn new(receiver: mpsc::Receiver<QueuedOrder>) -> Self {
        Self { receiver, next: None }
    }

    /// Waits for an order and returns all that are queued, oldest first, within the limits of a
    /// batch. Returns `None` once the queue is closed and empty. Dropping the future loses no
    /// order.
    pub(super) async fn next_batch(&mut self) -> Option<Vec<QueuedOrder>> {
        let mut next = match self.next.take() {
            Some(first) => Some(first),
            None => Some(self.recv_claimed().await?),
        };
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(queued) = next {
            bytes += estimated_bytes(&queued.order);
            if batch.len() == MAX_ROWS || (bytes > MAX_BYTES && !batch.is_empty()) {
                self.next = Some(queued);
                break;
            }
            batch.push(queued);
            next = self.try_recv_claimed();
        }
        let now = Instant::now();
        batch.iter_mut().for_each(|queued: &mut QueuedOrder| queued.taken_at = now);
        Some(batch)
    }

    async fn recv_claimed(&mut self) -> Option<QueuedOrder> {
        loop {
            let queued = self.receiver.recv().await?;
            metrics::order_dequeued();
            if queued.claim() {
                return Some(queued);
            }
        }
    }

    fn try_recv_claimed(&mut self) -> Option<QueuedOrder> {
        loop {
            let queued = self.receiver.try_recv().ok()?;
            metrics::order_dequeued();
            if queued.claim() {
                return Some(queued);
            }
        }
    }
}

/// Estimates the bytes that an order takes in a statement.
fn estimated_bytes(order: &OrderToWrite) -> usize {
    let headers = order.headers.as_object().into_iter().flatten();
    let headers: usize =
        headers.map(|(name, value)| name.len() + value.as_str().map_or(0, str::len)).sum();
    let key = order.key.as_ref().map_or(0, |key| key.as_str().len());
    let (product, address) = (&order.new.product_name.0, &order.new.delivery_address.0);
    ROW_OVERHEAD_BYTES + product.len() + address.len() + headers + key
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use rust_decimal::Decimal;
    use serde_json::json;
    use uuid::Uuid;

    use super::super::queue;
    use super::*;
    use crate::domain::{CustomerId, DeliveryAddress, NewOrder, Price, ProductName, Quantity};

    fn order(quantity: i32, address: usize) -> OrderToWrite {
        let new = NewOrder {
            customer: CustomerId(Uuid::nil()),
            product_name: ProductName("x".to_owned()),
            quantity: Quantity(quantity),
            price: Price(Decimal::ONE),
            delivery_address: DeliveryAddress("x".repeat(address)),
        };
        OrderToWrite { new, headers: json!({}), key: None }
    }

    /// The quantities of the orders in each batch, for orders whose addresses have these lengths.
    async fn batches(addresses: &[usize]) -> Vec<Vec<i32>> {
        let (queue, mut reader) = queue(addresses.len(), Duration::from_secs(60), 1);
        let orders = (1..).zip(addresses).map(|(number, &address)| {
            let (queue, order) = (queue.clone(), order(number, address));
            async move { queue.write(order).await }
        });
        let all = futures_util::future::join_all(orders);
        let taken = async {
            let (mut batches, mut orders) = (Vec::new(), 0);
            while orders < addresses.len() {
                let batch = reader.next_batch().await.expect("the queue is there");
                orders += batch.len();
                batches.push(batch.iter().map(|one| one.order.new.quantity.0).collect());
            }
            batches
        };
        tokio::join!(all, taken).1
    }

    #[tokio::test]
    async fn a_batch_is_bounded_in_rows_and_in_bytes_and_keeps_the_order() {
        assert_eq!(batches(&[10]).await, [[1]]);
        assert_eq!(batches(&[10, 10, 10]).await, [[1, 2, 3]]);
        let rows = batches(&[10; 600]).await;
        assert_eq!(rows.iter().map(Vec::len).collect::<Vec<_>>(), [256, 256, 88]);
        assert!(rows.concat().into_iter().eq(1..=600));
        let half = MAX_BYTES / 2;
        assert_eq!(batches(&[half, 10, half, 10]).await, [vec![1, 2], vec![3, 4]]);
        assert_eq!(batches(&[2 * MAX_BYTES, 10]).await, [[1], [2]]);
    }

    #[tokio::test]
    async fn an_order_whose_request_is_gone_is_skipped() {
        let (queue, mut reader) = queue(3, Duration::from_secs(60), 1);
        let mut orders: Vec<_> =
            (1..=3).map(|number| Box::pin(queue.write(order(number, 10)))).collect();
        for order in &mut orders {
            assert!(order.now_or_never().is_none());
        }
        drop(orders.remove(0));
        let batch = reader.next_batch().await.expect("two are left");
        assert_eq!(batch.iter().map(|one| one.order.new.quantity.0).collect::<Vec<_>>(), [2, 3]);
    }
}
