-- allow_idle: how long this transaction may wait for the broker
-- $1: milliseconds
SELECT set_config('idle_in_transaction_session_timeout', $1::text, true)
