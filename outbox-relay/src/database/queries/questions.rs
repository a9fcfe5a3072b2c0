//! What commands ask about events, and this relay's answers. Both are locks.

use crate::database::{Database, DatabaseError};
use crate::publish::stage::Stage;

/// What a command asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question {
    /// The transaction that asks, as answers address it.
    pub(crate) asker: i32,
    /// The lower 31 bits of the event's id.
    pub(crate) event: i64,
}

/// Returns at most `limit` questions.
pub(crate) async fn find_questions(
    database: &Database,
    limit: i64,
) -> Result<Vec<Question>, DatabaseError> {
    let rows = database.session.query(&database.statements.find_questions, &[&limit]).await?;
    rows.iter()
        .map(|row| Ok(Question { asker: row.try_get("asker")?, event: row.try_get("event")? }))
        .collect()
}

/// Answers askers.
pub(crate) async fn give_answers(
    database: &Database,
    answers: &[(i32, Stage)],
) -> Result<(), DatabaseError> {
    let (numbers, askers) = columns(answers);
    let statement = &database.statements.give_answers;
    database.session.query(statement, &[&numbers, &askers]).await.map(drop)
}

/// Gives up answers that were given.
pub(crate) async fn take_back_answers(
    database: &Database,
    answers: &[(i32, Stage)],
) -> Result<(), DatabaseError> {
    let (numbers, askers) = columns(answers);
    let statement = &database.statements.take_back_answers;
    database.session.query(statement, &[&numbers, &askers]).await.map(drop)
}

fn columns(answers: &[(i32, Stage)]) -> (Vec<i32>, Vec<i32>) {
    answers.iter().map(|(asker, stage)| (stage.lock_number(), *asker)).unzip()
}
