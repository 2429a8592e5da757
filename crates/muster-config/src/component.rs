//! From a definition to a component that can be started.

use std::fmt;
use std::sync::Arc;

use muster_options::OptionError;
use muster_plugin::{
    Aggregator, ComponentId, Input, Output, Processor, Registry, ServiceInput, StatefulProcessor,
};

use crate::settings::{Settings, Tags};
use crate::{AgentSettings, Definition, Environment};

/// A component, checked and built, not started.
#[derive(Debug)]
pub struct Component {
    /// Which one.
    pub id: ComponentId,
    /// The plugin's name.
    pub plugin: &'static str,
    /// What the engine needs to know of it.
    pub settings: Settings,
    /// The plugin itself.
    pub built: BuiltPlugin,
}

/// A plugin of any kind.
pub enum BuiltPlugin {
    /// A polled input.
    Input(Box<dyn Input>),
    /// An input that works on its own.
    Service(Box<dyn ServiceInput>),
    /// A processor without memory.
    Processor(Box<dyn Processor>),
    /// A processor with memory.
    StatefulProcessor(Box<dyn StatefulProcessor>),
    /// An aggregator.
    Aggregator(Box<dyn Aggregator>),
    /// An output.
    Output(Box<dyn Output>),
}

impl fmt::Debug for BuiltPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Input(_) => "Input",
            Self::Service(_) => "Service",
            Self::Processor(_) => "Processor",
            Self::StatefulProcessor(_) => "StatefulProcessor",
            Self::Aggregator(_) => "Aggregator",
            Self::Output(_) => "Output",
        })
    }
}

/// Makes the component that a definition asks for: resolves environment variables, reads the
/// options that every component has, and builds the plugin from the rest.
///
/// # Errors
/// All that is wrong, with the keys where it is wrong. Values of secrets are masked.
pub fn prepare(
    definition: &Definition,
    agent: &AgentSettings,
    global_tags: &Arc<Tags>,
    registry: &Registry,
    env: &dyn Environment,
) -> Result<Component, Vec<OptionError>> {
    let _ = (definition, agent, global_tags, registry, env);
    Err(vec![OptionError::new("", "not yet")])
}
