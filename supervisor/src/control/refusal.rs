//! How a request is refused: a problem object with the right status.
//!
//! Owns: which reason gets which HTTP status. Never: invents a reason that the API does not document.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use openrtc_control_api::problem::CONTENT_TYPE;
use openrtc_control_api::{ConfigFault, Problem, Tenant};
use openrtc_policy::{RejectReason, Rejection};

use crate::config::{ConfigFaults, Fault};
use crate::dispatch::livekit::OperatorFault;
use crate::dispatch::local::LocalError;
use crate::host::chain;
use crate::sources::Stopping;

/// A problem on its way out.
#[derive(Debug)]
pub(super) struct Refusal(Box<Problem>);

impl Refusal {
    /// A refusal with this status and reason.
    pub(super) fn new(status: StatusCode, reason: &str, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem::new(status.as_u16(), reason, detail)))
    }

    /// The problem itself, where it is told rather than answered.
    pub(super) fn into_problem(self) -> Problem {
        *self.0
    }

    /// The request itself is wrong.
    pub(super) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_request", detail)
    }

    /// The same, with everything that is wrong with a configuration.
    pub(super) fn with_faults(mut self, faults: ConfigFaults) -> Self {
        let fault = |fault: Fault| {
            let Fault { source, line, key, value, problem, remedy } = fault;
            ConfigFault { source, line, key, value, problem, remedy }
        };
        self.0.faults = faults.faults.into_iter().map(fault).collect();
        self
    }

    /// The same, with the tenant as it is now.
    pub(super) fn with_current(mut self, tenant: Option<Tenant>) -> Self {
        self.0.current = tenant.map(Box::new);
        self
    }

    /// There is no such thing.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, axum::Json(&self.0)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        if let Some(seconds) = self.0.retry_after_s {
            // The header knows whole seconds only.
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.ceil() as u64));
        }
        response
    }
}

fn status_of(reason: RejectReason) -> StatusCode {
    match reason {
        RejectReason::ConfigError | RejectReason::TenantInvalid => StatusCode::BAD_REQUEST,
        RejectReason::Draining => StatusCode::SERVICE_UNAVAILABLE,
        RejectReason::TenantMissing
        | RejectReason::TenantUnknown
        | RejectReason::TenantSuspended
        | RejectReason::RoomNamespace
        | RejectReason::CircuitOpen
        | RejectReason::RateLimited
        | RejectReason::BudgetExceeded
        | RejectReason::TenantCap
        | RejectReason::AgentCap
        | RejectReason::GlobalCap
        | RejectReason::UnknownAgent
        | RejectReason::NotOwned
        | RejectReason::AgentNotAllowed
        | RejectReason::MembershipRejected
        | RejectReason::HostUnavailable => StatusCode::CONFLICT,
    }
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        let problem = Problem::new(status_of(rejection.reason).as_u16(), rejection.reason.name(), rejection.detail)
            .with_tenant(rejection.tenant.map(String::from))
            .with_retry_after_ms(rejection.retry_after_ms);
        Self(Box::new(problem))
    }
}

impl From<Stopping> for Refusal {
    fn from(stopping: Stopping) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", stopping.to_string())
    }
}

impl From<LocalError> for Refusal {
    fn from(error: LocalError) -> Self {
        match error {
            // A dispatch that comes while we stop is refused for the reason that it would have had a moment before.
            LocalError::Stopping(stopping) => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, RejectReason::Draining.name(), stopping.to_string())
            }
            error => {
                let mut detail = error.to_string();
                if let Some(cause) = std::error::Error::source(&error) {
                    detail = format!("{detail}: {cause}");
                }
                Self::new(StatusCode::BAD_REQUEST, RejectReason::ConfigError.name(), detail)
            }
        }
    }
}

impl From<OperatorFault> for Refusal {
    fn from(fault: OperatorFault) -> Self {
        let (status, reason) = match &fault {
            OperatorFault::Field { .. } | OperatorFault::Name { .. } | OperatorFault::Token(_) => {
                (StatusCode::BAD_REQUEST, "bad_request")
            }
            OperatorFault::Namespace { .. } => (StatusCode::FORBIDDEN, RejectReason::RoomNamespace.name()),
            OperatorFault::UnknownTenant { .. } => (StatusCode::FORBIDDEN, RejectReason::TenantUnknown.name()),
            OperatorFault::NotRegistered { .. } | OperatorFault::Undecided(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "not_registered")
            }
            OperatorFault::NotOffered { .. } => (StatusCode::GATEWAY_TIMEOUT, "not_offered"),
        };
        Self::new(status, reason, chain(&fault))
    }
}
