//! A service that applies promo codes and asks a second service meanwhile: in a form that leaks a task for nearly every
//! request, and in one that does not.

pub mod discounter;
pub mod form;
pub mod http;
pub mod load;
pub mod pace;
pub mod rendezvous;
pub mod rules;
pub mod shop;

pub use form::Form;
pub use load::Minute;
pub use pace::Pace;
pub use shop::Shop;
