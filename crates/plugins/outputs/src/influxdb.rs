//! `outputs.influxdb`: InfluxDB 1.x and what speaks its write protocol.

mod answer;
mod options;
mod server;
#[cfg(test)]
mod tests;

use async_trait::async_trait;
use muster_metric::Metrics;
use muster_metric::line_protocol::Writer;
use muster_net::{Encoding, OptionReader, TlsClientOptions};
use muster_options::{OptionDoc, OptionError, Options};
use muster_plugin::{
    Build, BuildContext, Built, FormatUse, Output, OutputContext, PluginError, PluginRow,
    StartContext, WriteError,
};

use crate::influx_lines::{Parcel, RouteTag, parcels, random_start};
use answer::Verdict;
use options::InfluxdbOptions;
use server::{Server, ServerUrl};

/// The row of the plugin.
pub(crate) const ROW: PluginRow = PluginRow {
    name: "influxdb",
    summary: "writes to InfluxDB 1.x over HTTP, a unix socket or UDP",
    options: docs,
    format: FormatUse::None,
    build: Build::Output(|cx| Ok(Box::new(Influxdb::build(cx)?))),
};

fn docs() -> Vec<OptionDoc> {
    let mut docs = InfluxdbOptions::describe();
    docs.extend(TlsClientOptions::describe());
    docs
}

/// The output.
struct Influxdb {
    options: InfluxdbOptions,
    tls: TlsClientOptions,
    urls: Vec<ServerUrl>,
    encoding: Encoding,
    routes: [RouteTag; 2],
    writer: Writer,
    servers: Vec<Server>,
}

/// What became of a parcel, from good to bad.
enum Delivery {
    Written,
    Partial {
        rejected: Vec<usize>,
        error: PluginError,
    },
    Rejected(PluginError),
    Retry(PluginError),
}

impl Influxdb {
    fn build(cx: &BuildContext) -> Built<Self> {
        let mut reader = OptionReader::new(cx, &["local_address"]);
        let tls: TlsClientOptions = reader.take();
        tls.problems()
            .into_iter()
            .for_each(|error| reader.refuse(error));
        let options: InfluxdbOptions = reader.rest()?;
        let mut errors = options.problems();
        let urls = options.urls.iter().map(|url| ServerUrl::parse(url));
        let urls: Vec<ServerUrl> = urls
            .filter_map(|url| url.map_err(|error| errors.push(error)).ok())
            .collect();
        let encoding = Encoding::parse(&options.content_encoding)
            .map_err(|message| errors.push(OptionError::new("content_encoding", message)));
        let (Ok(encoding), true) = (encoding, errors.is_empty()) else {
            return Err(errors);
        };
        let routes = [
            RouteTag {
                tag: options.database_tag.clone(),
                default: options.database.clone(),
                exclude: options.exclude_database_tag,
            },
            RouteTag {
                tag: options.retention_policy_tag.clone(),
                default: options.retention_policy.clone(),
                exclude: options.exclude_retention_policy_tag,
            },
        ];
        let writer = Writer {
            uint_support: options.influx_uint_support,
            omit_timestamp: options.influx_omit_timestamp,
            ..Writer::default()
        };
        Ok(Self {
            options,
            tls,
            urls,
            encoding,
            routes,
            writer,
            servers: Vec::new(),
        })
    }

    /// Writes a parcel to the first server that takes it.
    async fn deliver(&self, metrics: &Metrics, parcel: &Parcel) -> Delivery {
        let start = random_start(self.servers.len());
        let mut last = Delivery::Retry(PluginError::new("write: there is no server"));
        for at in 0..self.servers.len() {
            let server = &self.servers[(start + at) % self.servers.len()];
            last = self.deliver_to(server, metrics, parcel).await;
            if !matches!(last, Delivery::Retry(_)) {
                break;
            }
        }
        last
    }

    async fn deliver_to(&self, server: &Server, metrics: &Metrics, parcel: &Parcel) -> Delivery {
        let (database, policy) = (&parcel.route[0], &parcel.route[1]);
        let failed = || PluginError::new(format!("write to database \"{database}\" at {server}"));
        let mut created = false;
        loop {
            let write = server.write(
                &self.options,
                self.encoding,
                database,
                policy,
                &parcel.lines,
            );
            let verdict = match write.await {
                Ok(verdict) => verdict,
                Err(error) => return Delivery::Retry(error),
            };
            return match verdict {
                Verdict::Written => Delivery::Written,
                Verdict::NoDatabase(why) if created || self.options.skip_database_creation => {
                    let error = failed().because(why);
                    Delivery::Retry(
                        error.with_hint(format!("create it: CREATE DATABASE \"{database}\"")),
                    )
                }
                Verdict::NoDatabase(_) => {
                    if let Err(error) = server.create_database(&self.options, database).await {
                        return Delivery::Retry(error);
                    }
                    created = true;
                    continue;
                }
                Verdict::PartlyDropped(why) => {
                    let rejected = answer::dropped(&why, metrics, &parcel.positions);
                    Delivery::Partial {
                        rejected,
                        error: failed().because(why),
                    }
                }
                Verdict::Refused(why) => Delivery::Rejected(failed().because(why)),
                Verdict::Later(why) => Delivery::Retry(failed().because(why)),
            };
        }
    }
}

#[async_trait]
impl Output for Influxdb {
    async fn start(&mut self, _: &StartContext) -> Result<(), PluginError> {
        let servers = self
            .urls
            .iter()
            .map(|url| Server::new(url, &self.options, &self.tls));
        self.servers = servers.collect::<Result<_, _>>()?;
        Ok(())
    }

    async fn write(&mut self, _: &OutputContext, metrics: &Metrics) -> Result<(), WriteError> {
        let mut rejected = Vec::new();
        let mut partial = None;
        let mut refused = None;
        for parcel in parcels(metrics, &self.routes, &self.writer) {
            match self.deliver(metrics, &parcel).await {
                Delivery::Written => {}
                Delivery::Partial {
                    rejected: more,
                    error,
                } => {
                    rejected.extend(more);
                    partial = Some(error);
                }
                Delivery::Rejected(error) => refused = Some(error),
                // Points that were written already are written again, which changes nothing.
                Delivery::Retry(error) => return Err(WriteError::Retry(error)),
            }
        }
        if let Some(error) = refused {
            return Err(WriteError::Rejected(error));
        }
        match partial {
            None => Ok(()),
            Some(error) => {
                rejected.sort_unstable();
                Err(WriteError::Partial { rejected, error })
            }
        }
    }

    async fn close(&mut self, _: &OutputContext) -> Result<(), PluginError> {
        self.servers.clear();
        Ok(())
    }
}
