//! What is prepared once for a session: the text of each statement with the table's name in it.

use tokio_postgres::{Client, Error, Statement};

use crate::database::OutboxTable;

macro_rules! statements {
    ($name:ident: $($statement:ident),+ $(,)?) => {
        /// The statements of a session, prepared once.
        #[derive(Debug)]
        pub(crate) struct $name {
            $(pub(super) $statement: Statement),+
        }

        impl $name {
            pub(crate) async fn prepare(client: &Client, table: &OutboxTable) -> Result<Self, Error> {
                Ok(Self {
                    $($statement: client
                        .prepare(&table.fill_in(include_str!(concat!(
                            "../../../../sql/relay/queries/", stringify!($statement), ".sql"
                        ))))
                        .await?),+
                })
            }
        }
    };
}

statements!(
    ClaimStatements: look_ahead,
    look_due,
    look_behind,
    load,
    identify,
    count_digits,
    watch_writers,
    watch_lanes,
    find_hidden_rows,
    join_relays,
    leave_relays,
    name_session,
    take_lanes,
    give_lanes,
    watch_audit,
    find_overtaken,
    tell_in_flight,
    untell_in_flight,
    confirm_audit,
);

statements!(
    SettleStatements: settle_published,
    settle_deleted,
    settle_failed,
    probe_marking,
    probe_deleting,
);

statements!(InspectStatements: look_ahead, measure_backlog);

statements!(TakeNotes: note_unsettled, forget_unsettled);

statements!(ReadNotes: load_unsettled, forget_gone);

statements!(PruneStatements: lock_pruning, prune, next_row);

statements!(ExpiredNotes: forget_expired);
