/// The statement that adds an event; its file says what the parameters are.
const WRITE_EVENT: &str = include_str!("../../sql/outbox/write_event.sql");

/// How many parameters it has.
const PARAMETERS: usize = 7;

/// An open transaction of a driver. A pool or a connection is none: outside of a transaction an
/// event would be published whatever becomes of the data.
pub trait Transaction: sealed::Sealed {
    /// The driver's error.
    type Error;

    #[doc(hidden)]
    fn insert(
        &mut self,
        parameters: [Option<&str>; PARAMETERS],
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

mod sealed {
    pub trait Sealed {}
}

#[cfg(feature = "tokio-postgres")]
mod of_tokio_postgres {
    use tokio_postgres::types::{ToSql, Type};

    use super::{PARAMETERS, Transaction, WRITE_EVENT, sealed};

    impl sealed::Sealed for tokio_postgres::Transaction<'_> {}

    impl Transaction for tokio_postgres::Transaction<'_> {
        type Error = tokio_postgres::Error;

        async fn insert(
            &mut self,
            parameters: [Option<&str>; PARAMETERS],
        ) -> Result<(), Self::Error> {
            // With their types the statement takes one round trip.
            let typed = parameters.each_ref().map(|text| (text as &(dyn ToSql + Sync), Type::TEXT));
            self.execute_typed(WRITE_EVENT, &typed).await.map(drop)
        }
    }
}

#[cfg(feature = "sqlx")]
mod of_sqlx {
    use super::{PARAMETERS, Transaction, WRITE_EVENT, sealed};

    impl sealed::Sealed for sqlx::Transaction<'_, sqlx::Postgres> {}

    impl Transaction for sqlx::Transaction<'_, sqlx::Postgres> {
        type Error = sqlx::Error;

        async fn insert(
            &mut self,
            parameters: [Option<&str>; PARAMETERS],
        ) -> Result<(), Self::Error> {
            let insert =
                parameters.into_iter().fold(sqlx::query(WRITE_EVENT), sqlx::query::Query::bind);
            insert.execute(&mut **self).await.map(drop)
        }
    }
}
