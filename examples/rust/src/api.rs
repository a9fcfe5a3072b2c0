//! The HTTP API.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use sqlx::PgPool;

use crate::shipments::{self, NewShipment};

/// Returns the routes of the API, which work on this database.
pub fn routes(pool: PgPool) -> Router {
    Router::new().route("/shipments", post(create)).with_state(pool)
}

async fn create(State(pool): State<PgPool>, Json(shipment): Json<NewShipment>) -> StatusCode {
    match shipments::create(&pool, &shipment).await {
        Ok(true) => StatusCode::CREATED,
        Ok(false) => StatusCode::CONFLICT,
        Err(error) => {
            // If the commit failed, the shipment may have been saved all the same. A client that
            // tries again is then told that it exists.
            eprintln!("the shipment of {} was not saved: {error}", shipment.order);
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}
