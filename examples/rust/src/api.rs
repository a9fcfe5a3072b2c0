//! The HTTP API.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use sqlx::PgPool;

use crate::shipments::{self, NewShipment};

/// The routes, on this database.
pub fn routes(pool: PgPool) -> Router {
    Router::new().route("/shipments", post(create)).with_state(pool)
}

async fn create(State(pool): State<PgPool>, Json(shipment): Json<NewShipment>) -> StatusCode {
    match shipments::create(&pool, &shipment).await {
        Ok(true) => StatusCode::CREATED,
        Ok(false) => StatusCode::CONFLICT,
        Err(error) => {
            // It may have been saved if it failed at the commit. The client tries again, and is
            // told that there is such a shipment already.
            eprintln!("the shipment of {} was not saved: {error}", shipment.order);
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}
