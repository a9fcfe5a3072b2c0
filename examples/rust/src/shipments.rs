//! Shipments. Each change is saved in one transaction with the event that tells of it.

use outbox_writer::Event;
use serde::Deserialize;
use serde_json::json;
use sqlx::{PgPool, PgTransaction};

use crate::event::{Failure, ReceivedEvent};

/// A shipment, as a client sends it.
#[derive(Deserialize)]
pub struct NewShipment {
    pub order: String,
    address: String,
}

/// The data of `stock.picked`.
#[derive(Deserialize)]
struct StockPicked {
    order: String,
    quantity: i32,
}

/// Saves a shipment. Returns false if there already is one for that order.
pub async fn create(pool: &PgPool, shipment: &NewShipment) -> anyhow::Result<bool> {
    let mut transaction = pool.begin().await?;
    let insert =
        "INSERT INTO shipments (order_number, address) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    let inserted = sqlx::query(insert)
        .bind(&shipment.order)
        .bind(&shipment.address)
        .execute(&mut *transaction)
        .await?;
    if inserted.rows_affected() == 0 {
        return Ok(false);
    }
    let data = json!({"order": shipment.order, "address": shipment.address});
    Event::new("shipment", &shipment.order, "shipment.created", &data)
        .write(&mut transaction)
        .await?;
    transaction.commit().await?;
    Ok(true)
}

/// Applies an event in the transaction that remembers its id.
pub async fn apply(
    transaction: &mut PgTransaction<'_>,
    event: ReceivedEvent,
) -> Result<(), Failure> {
    if event.event != "stock.picked" {
        // Another type: somebody has bound the queue with more keys.
        return Ok(());
    }
    let StockPicked { order, quantity } = serde_json::from_value(event.data)?;
    // The UPDATE locks the row: changes of one shipment take turns, so that their events get their
    // ids in the order in which they commit. That is the order in which the relay delivers them.
    let pack = "UPDATE shipments SET packed = packed + $2 WHERE order_number = $1";
    let packed = sqlx::query(pack).bind(&order).bind(quantity).execute(&mut **transaction).await?;
    if packed.rows_affected() == 0 {
        return Err(Failure::NotYet(format!("there is no shipment of {order} yet")));
    }
    let data = json!({"order": order, "quantity": quantity});
    Event::new("shipment", &order, "shipment.packed", &data).write(transaction).await?;
    Ok(())
}
