//! The service: what an order costs with a promo code.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use hyper::StatusCode;
use muster_tasks::{Closed, Group, debug};
use serde::{Deserialize, Serialize};

use crate::form::{Asked, Form};
use crate::http::{self, Response};
use crate::rules::{self, Order};
use crate::{Pace, discounter};

/// The service.
#[derive(Clone, Debug)]
pub struct Shop {
    inner: Arc<Inner>,
    address: SocketAddr,
}

#[derive(Debug)]
struct Inner {
    form: Form,
    pace: Pace,
    discounter: SocketAddr,
    group: Group,
    asking: Group,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Applied {
    /// The discount.
    pub percent: u8,
    /// Where it comes from, or why there is none.
    pub because: String,
    /// Tasks of the service before the order was looked at.
    pub tasks_before: usize,
    /// Tasks of the service when the answer was made.
    pub tasks_after: usize,
}

impl Shop {
    /// Starts the service and the one that it asks. `/apply?code=SPRING&user=17&cents=5000` answers with
    /// [`Applied`] as JSON; under `/debug` are muster-tasks' pages of everything in `root`.
    ///
    /// # Errors
    /// If it cannot listen there, or the group takes no more tasks.
    pub async fn start(
        root: &Group,
        address: SocketAddr,
        form: Form,
        pace: Pace,
    ) -> io::Result<Self> {
        let discounter = discounter::start(&root.group("discounter"), pace).await?;
        let group = root.group("shop");
        let inner = Arc::new(Inner {
            form,
            pace,
            discounter,
            asking: group.group("asking"),
            group: group.clone(),
        });
        let (root, of_handlers) = (root.clone(), Arc::clone(&inner));
        let address = http::serve(&group, address, move |target| {
            route(root.clone(), Arc::clone(&of_handlers), target)
        });
        let address = address.await?;
        Ok(Self { inner, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The group of the tasks that ask the discounter.
    #[must_use]
    pub fn asking(&self) -> &Group {
        &self.inner.asking
    }
}

async fn route(root: Group, shop: Arc<Inner>, target: String) -> Response {
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    if path.starts_with("/debug/") {
        return debug_page(&root, &target).await;
    }
    if path != "/apply" {
        return http::text(
            StatusCode::NOT_FOUND,
            "there are /apply and /debug/pprof/\n",
        );
    }
    let Some(order) = order(query) else {
        return http::text(
            StatusCode::BAD_REQUEST,
            "wanted: code, user (a number), cents\n",
        );
    };
    match shop.apply(&order).await {
        Ok(applied) => match serde_json::to_vec(&applied) {
            Ok(body) => http::text(StatusCode::OK, body),
            Err(error) => http::text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        },
        Err(closed) => http::text(StatusCode::SERVICE_UNAVAILABLE, closed.to_string()),
    }
}

async fn debug_page(root: &Group, target: &str) -> Response {
    let page = debug::handle(root, target).await;
    let status = StatusCode::from_u16(page.status).unwrap_or_default();
    let mut answer = http::text(status, page.body);
    let content_type = hyper::header::HeaderValue::from_static(page.content_type);
    let headers = answer.headers_mut();
    headers.insert(hyper::header::CONTENT_TYPE, content_type);
    answer
}

fn order(query: &str) -> Option<Order> {
    let get = |name: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
    };
    Some(Order {
        code: get("code")?,
        user: get("user")?.parse().ok()?,
        cents: get("cents")?.parse().ok()?,
    })
}

impl Inner {
    /// Counts the tasks before and after.
    async fn apply(&self, order: &Order) -> Result<Applied, Closed> {
        let tasks_before = self.group.count();
        let ask = discounter::ask(self.discounter, order.user, self.pace);
        let asked = Asked::start(self.form, &self.asking, ask)?;
        let (percent, because) = decide(order, asked).await;
        Ok(Applied {
            percent,
            because,
            tasks_before,
            tasks_after: self.group.count(),
        })
    }
}

/// The discount, and why it is that. Most orders need no answer of the discounter, which is asked in any case so that no
/// time is lost for the others.
async fn decide(order: &Order, asked: Asked) -> (u8, String) {
    let rule = match rules::find(order) {
        Ok(rule) => rule,
        Err(why) => return (0, why.to_string()),
    };
    if !rules::in_experiment(order.user) {
        return (rule.percent, "rule".to_owned());
    }
    match asked.percent().await {
        Some(percent) => (percent, "experiment".to_owned()),
        None => (rule.percent, "rule; the discounter failed".to_owned()),
    }
}
