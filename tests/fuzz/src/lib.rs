//! One property for each parser that reads what others write: a function from any bytes that panics where it does not hold.
//! `make fuzz` searches for such bytes; `tests/properties.rs` holds the properties to their seeds and what is like them.

mod authorization;
mod config;
mod decode;
mod endpoint;
mod fold;
mod form;
mod head;
mod json;
mod json_body;
mod jwt_verify;
mod key_set;
mod mint;
mod path_and_route;

pub use authorization::authorization;
pub use config::config;
pub use form::form;
pub use head::head;
pub use json_body::json_body;
pub use jwt_verify::jwt_verify;
pub use key_set::key_set;
pub use mint::mint;
pub use path_and_route::path_and_route;
