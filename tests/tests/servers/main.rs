//! PostgreSQL and RabbitMQ on bad days, with unusual settings, behind poolers and after failovers.

mod addresses;
mod broker_channels;
mod broker_misbehaves;
mod broker_permissions;
mod broker_permissions_check;
mod broker_unreachable;
mod database_encodings;
mod lapin_canary;
mod platform_limits;
mod relay_database_settings;
mod relay_encodings;
mod relay_failover;
mod relay_pooler;
mod relay_read_only_database;
mod relay_row_security;
mod relay_server_hangs;
mod relay_sql_ascii;
mod relay_tls;
mod server_settings_and_policies;
mod service_failover;
mod service_faults;
mod services_pooler;
