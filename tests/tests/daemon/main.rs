//! What only a daemon has: it runs for a user, starts by itself and stays. These tests do not depend on `FARM_TOPOLOGY`.

mod configuration;
mod privileges;
