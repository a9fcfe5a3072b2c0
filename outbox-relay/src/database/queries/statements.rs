//! The statements that a session prepares once.

use tokio_postgres::{Client, Error, Statement};

use crate::database::OutboxTable;

/// A prepared statement with its name, by which metrics and errors tell transactions apart.
#[derive(Debug)]
pub(crate) struct NamedStatement {
    pub(crate) name: &'static str,
    pub(crate) statement: Statement,
}

macro_rules! statements {
    ($name:ident: $($statement:ident),+ $(,)?) => {
        /// The statements of a session, prepared once.
        #[derive(Debug)]
        pub(crate) struct $name {
            $(pub(super) $statement: NamedStatement),+
        }

        impl $name {
            pub(crate) async fn prepare(client: &Client, table: &OutboxTable) -> Result<Self, Error> {
                Ok(Self {
                    $($statement: NamedStatement {
                        name: stringify!($statement),
                        statement: client
                            .prepare(&table.fill_in(include_str!(concat!(
                                "../../../../sql/relay/queries/", stringify!($statement), ".sql"
                            ))))
                            .await?,
                    }),+
                })
            }
        }
    };
}

statements!(
    RelayStatements: scan_new,
    scan_due,
    scan_successors,
    load,
    identify,
    count_digits,
    list_writers,
    list_relays,
    find_hidden_rows,
    join_relays,
    leave_relays,
    name_session,
    take_lanes,
    release_lanes,
    latest_audit_id,
    audited_up_to,
    find_overtaken,
    lock_in_flight,
    unlock_in_flight,
    acknowledge_audit,
    find_questions,
    give_answers,
    take_back_answers,
);

statements!(
    SettleStatements: settle_published,
    settle_deleted,
    probe_marking,
    probe_deleting,
);

statements!(InspectStatements: scan_new, measure_backlog, find_oldest);

statements!(UnsettledStatements: note_unsettled, forget_unsettled);

statements!(LoadUnsettledStatements: load_unsettled, forget_gone);

statements!(PauseStatements: load_pauses, respect_pauses);

statements!(PruneStatements: lock_pruning, prune, next_row);

statements!(ExpiredStatements: forget_expired);

statements!(AuditPruneStatements: lock_audit_pruning, prune_audit);
