//! What is written next.

use metrics::Gauge;
use tokio::sync::mpsc;

use super::queue::Waiting;

/// Orders of one batch at the most: its commit is soon over, so that the next ones do not wait for long.
const MAX_ROWS: usize = 256;

/// Bytes of one batch at the most, as [`Asked`](super::asked::Asked) counts them. An order alone never has as many.
const MAX_BYTES: usize = 512 * 1024;

/// The end of the queue where orders are taken out.
#[derive(Debug)]
pub(crate) struct Line {
    receiver: mpsc::Receiver<Waiting>,
    /// The one that did not fit into the last batch.
    next: Option<Waiting>,
    /// How many are in the queue.
    waiting: Gauge,
}

impl Line {
    pub(super) const fn new(receiver: mpsc::Receiver<Waiting>, waiting: Gauge) -> Self {
        Self { receiver, next: None, waiting }
    }

    /// All that wait now, within the bounds of a batch, the first ones first; waits until there is one. Nothing when there will
    /// never be any more. Dropping the future loses no order.
    pub(super) async fn batch(&mut self) -> Option<Vec<Waiting>> {
        let mut next = match self.next.take() {
            Some(first) => Some(first),
            None => Some(self.first().await?),
        };
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(waiting) = next {
            bytes += waiting.asked.bytes();
            if batch.len() == MAX_ROWS || (bytes > MAX_BYTES && !batch.is_empty()) {
                self.next = Some(waiting);
                break;
            }
            batch.push(waiting);
            next = self.another();
        }
        Some(batch)
    }

    async fn first(&mut self) -> Option<Waiting> {
        loop {
            let waiting = self.receiver.recv().await?;
            self.waiting.decrement(1.0);
            if waiting.claim() {
                return Some(waiting);
            }
        }
    }

    fn another(&mut self) -> Option<Waiting> {
        loop {
            let waiting = self.receiver.try_recv().ok()?;
            self.waiting.decrement(1.0);
            if waiting.claim() {
                return Some(waiting);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;
    use rust_decimal::Decimal;
    use serde_json::json;
    use uuid::Uuid;

    use super::super::asked::Asked;
    use super::super::queue::queue;
    use super::*;
    use crate::domain::{CustomerId, DeliveryAddress, NewOrder, Price, ProductName, Quantity};

    fn asked(quantity: i32, address: usize) -> Asked {
        let new = NewOrder {
            customer: CustomerId(Uuid::nil()),
            product_name: ProductName("x".to_owned()),
            quantity: Quantity(quantity),
            price: Price(Decimal::ONE),
            delivery_address: DeliveryAddress("x".repeat(address)),
        };
        Asked { new, headers: json!({}), key: None }
    }

    /// The quantities of each batch that orders with such addresses are written in.
    async fn batches(addresses: &[usize]) -> Vec<Vec<i32>> {
        let (queue, mut line) = queue(addresses.len(), Duration::from_secs(60), 1);
        let orders = (1..).zip(addresses).map(|(number, &address)| {
            let (queue, asked) = (queue.clone(), asked(number, address));
            async move { queue.write(asked).await }
        });
        let all = futures_util::future::join_all(orders);
        let taken = async {
            let (mut batches, mut orders) = (Vec::new(), 0);
            while orders < addresses.len() {
                let batch = line.batch().await.expect("the queue is there");
                orders += batch.len();
                batches.push(batch.iter().map(|one| one.asked.new.quantity.0).collect());
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
    async fn what_nobody_waits_for_any_more_is_not_taken() {
        let (queue, mut line) = queue(3, Duration::from_secs(60), 1);
        let mut orders: Vec<_> =
            (1..=3).map(|number| Box::pin(queue.write(asked(number, 10)))).collect();
        for order in &mut orders {
            assert!(order.now_or_never().is_none());
        }
        drop(orders.remove(0));
        let batch = line.batch().await.expect("two are left");
        assert_eq!(batch.iter().map(|one| one.asked.new.quantity.0).collect::<Vec<_>>(), [2, 3]);
    }
}
