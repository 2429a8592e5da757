//! The static rules: which codes there are, and for which orders they are good.

/// What a customer asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The promo code.
    pub code: String,
    /// Who asks.
    pub user: u64,
    /// The sum without a discount, in cents.
    pub cents: u64,
}

/// A rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// For this code.
    pub code: &'static str,
    /// From this sum on, in cents.
    pub least: u64,
    /// So much of the sum is given.
    pub percent: u8,
}

/// All rules.
pub const RULES: [Rule; 3] = [
    Rule {
        code: "WELCOME",
        least: 0,
        percent: 5,
    },
    Rule {
        code: "SPRING",
        least: 2_000,
        percent: 10,
    },
    Rule {
        code: "BULK",
        least: 50_000,
        percent: 15,
    },
];

/// Why a code is not good for an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// There is no such code.
    #[error("there is no such code")]
    NoSuchCode,
    /// The sum is too low.
    #[error("the code is good from {} on", price(*.0))]
    TooLittle(u64),
}

/// A sum in cents as a price.
fn price(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// The rule that is good for an order.
///
/// # Errors
/// [`Invalid`] if there is none.
pub fn find(order: &Order) -> Result<&'static Rule, Invalid> {
    let rule = RULES.iter().find(|rule| rule.code == order.code);
    let rule = rule.ok_or(Invalid::NoSuchCode)?;
    if order.cents < rule.least {
        return Err(Invalid::TooLittle(rule.least));
    }
    Ok(rule)
}

/// Whether a user takes part in the experiment: one in ten does.
#[must_use]
pub fn in_experiment(user: u64) -> bool {
    user % 10 == 7
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_good_for_some_orders() {
        let check = |code: &str, cents, expected: Result<u8, &str>| {
            let order = Order {
                code: code.to_owned(),
                user: 1,
                cents,
            };
            let found = find(&order).map(|rule| rule.percent);
            assert_eq!(
                found.map_err(|why| why.to_string()),
                expected.map_err(str::to_owned)
            );
        };
        check("WELCOME", 1, Ok(5));
        check("SPRING", 2000, Ok(10));
        check("SPRING", 1999, Err("the code is good from 20.00 on"));
        check("spring", 5000, Err("there is no such code"));
        assert_eq!((0..1000).filter(|user| in_experiment(*user)).count(), 100);
    }
}
