//! The algorithms that make up values.

use std::f64::consts::PI;
use std::hash::{BuildHasher, RandomState};

use muster_metric::MetricBuilder;
use muster_options::{JsonSchema, OptionError};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::MockOptions;

/// A field that stays the same.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Constant {
    /// The field's name.
    name: String,
    /// Its value: a string, an integer, a float or a boolean.
    value: Value,
}

/// A field with a random float.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Random {
    /// The field's name.
    name: String,
    /// The least value.
    min: f64,
    /// The greatest value.
    max: f64,
}

/// A field that follows a sine wave: `sin(gather * period * pi + phase) * amplitude + base_line`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SineWave {
    /// The field's name.
    name: String,
    /// How far the wave goes from its base line.
    amplitude: f64,
    /// How fast it goes.
    period: f64,
    /// Where it starts, in radians.
    phase: f64,
    /// Around which value it goes.
    base_line: f64,
}

/// A field that grows by a step with each gather.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Step {
    /// The field's name.
    name: String,
    /// The first value.
    start: f64,
    /// What is added with each gather; may be negative.
    step: f64,
}

/// A field that wanders like a price.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Stock {
    /// The field's name.
    name: String,
    /// The first value.
    price: f64,
    /// By what part of itself the value may change with a gather: 0.2 is a fifth.
    volatility: f64,
}

/// All fields of a mock input.
#[derive(Debug)]
pub(super) struct Values {
    constants: Vec<(String, Fixed)>,
    random: Vec<Random>,
    waves: Vec<SineWave>,
    steps: Vec<Moving<Step>>,
    stocks: Vec<Moving<Stock>>,
    noise: Noise,
}

/// What a constant can be.
#[derive(Debug)]
enum Fixed {
    Text(String),
    Int(i64),
    Float(f64),
    Bool(bool),
}

/// An algorithm with its present value.
#[derive(Debug)]
struct Moving<T> {
    rule: T,
    now: f64,
}

impl Values {
    /// The fields that the options ask for; what is wrong with them is added to `errors`.
    pub(super) fn new(options: &MockOptions, errors: &mut Vec<OptionError>) -> Self {
        let mut check = |list: &str, at: usize, name: &str| {
            if name.is_empty() {
                errors.push(OptionError::new(
                    format!("{list}[{at}].name"),
                    "a field needs a name",
                ));
            }
        };
        for (at, c) in options.constant.iter().enumerate() {
            check("constant", at, &c.name);
        }
        for (at, r) in options.random.iter().enumerate() {
            check("random", at, &r.name);
        }
        for (at, w) in options.sine_wave.iter().enumerate() {
            check("sine_wave", at, &w.name);
        }
        for (at, s) in options.step.iter().enumerate() {
            check("step", at, &s.name);
        }
        for (at, s) in options.stock.iter().enumerate() {
            check("stock", at, &s.name);
        }
        let mut constants = Vec::new();
        for (at, constant) in options.constant.iter().enumerate() {
            match fixed(&constant.value) {
                Some(value) => constants.push((constant.name.clone(), value)),
                None => errors.push(OptionError::new(
                    format!("constant[{at}].value"),
                    "expected a string, an integer, a float or a boolean",
                )),
            }
        }
        let mut random = options.random.clone();
        let none = constants.is_empty()
            && random.is_empty()
            && options.sine_wave.is_empty()
            && options.step.is_empty()
            && options.stock.is_empty()
            && !options.sequence;
        if none {
            random.push(Random {
                name: "value".to_owned(),
                min: 0.0,
                max: 1.0,
            });
        }
        let step = |rule: &Step| Moving {
            now: rule.start,
            rule: rule.clone(),
        };
        let stock = |rule: &Stock| Moving {
            now: rule.price,
            rule: rule.clone(),
        };
        Self {
            constants,
            random,
            waves: options.sine_wave.clone(),
            steps: options.step.iter().map(step).collect(),
            stocks: options.stock.iter().map(stock).collect(),
            noise: Noise::new(),
        }
    }

    /// Adds all fields to a metric of the gather with this number.
    pub(super) fn add_to(&mut self, metric: &mut MetricBuilder<'_>, gather: u64) {
        for (name, value) in &self.constants {
            match value {
                Fixed::Text(v) => metric.add_field(name, v),
                Fixed::Int(v) => metric.add_field(name, *v),
                Fixed::Float(v) => metric.add_field(name, *v),
                Fixed::Bool(v) => metric.add_field(name, *v),
            };
        }
        for r in &self.random {
            metric.add_field(&r.name, r.min + self.noise.next() * (r.max - r.min));
        }
        for wave in &self.waves {
            let angle = gather as f64 * wave.period * PI + wave.phase;
            metric.add_field(&wave.name, angle.sin() * wave.amplitude + wave.base_line);
        }
        for step in &self.steps {
            metric.add_field(&step.rule.name, step.now);
        }
        for stock in &self.stocks {
            metric.add_field(&stock.rule.name, stock.now);
        }
    }

    /// Goes on to the next gather.
    pub(super) fn advance(&mut self) {
        for step in &mut self.steps {
            step.now += step.rule.step;
        }
        for stock in &mut self.stocks {
            let change = (self.noise.next() * 2.0 - 1.0) * stock.rule.volatility;
            stock.now = (stock.now * (1.0 + change)).max(0.0);
        }
    }

    /// The present values by field, to go on from.
    pub(super) fn state(&self) -> Value {
        let steps = self
            .steps
            .iter()
            .map(|s| (s.rule.name.clone(), s.now.into()));
        let stocks = self
            .stocks
            .iter()
            .map(|s| (s.rule.name.clone(), s.now.into()));
        Value::Object(steps.chain(stocks).collect::<Map<String, Value>>())
    }

    /// Goes on from what [`state`](Self::state) gave.
    pub(super) fn restore(&mut self, state: &Value) {
        let known = |name: &str| state.get(name).and_then(Value::as_f64);
        for step in &mut self.steps {
            step.now = known(&step.rule.name).unwrap_or(step.now);
        }
        for stock in &mut self.stocks {
            stock.now = known(&stock.rule.name).unwrap_or(stock.now);
        }
    }
}

fn fixed(value: &Value) -> Option<Fixed> {
    Some(match value {
        Value::String(v) => Fixed::Text(v.clone()),
        Value::Bool(v) => Fixed::Bool(*v),
        Value::Number(v) => match v.as_i64() {
            Some(v) => Fixed::Int(v),
            None => Fixed::Float(v.as_f64()?),
        },
        _ => return None,
    })
}

/// Random numbers that nobody's safety depends on (SplitMix64).
#[derive(Debug)]
struct Noise(u64);

impl Noise {
    fn new() -> Self {
        Self(RandomState::new().hash_one(0))
    }

    /// A number from 0 up to, but not including, 1.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        (mixed >> 11) as f64 / (1u64 << 53) as f64
    }
}
