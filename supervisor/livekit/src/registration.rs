//! As what a worker registers.
//!
//! Owns: one agent name, job type and deployment, and what the server would refuse of them. Never: two on one socket.

use crate::proto;

/// Bytes of a deployment's name that the server takes.
const DEPLOYMENT_BYTES_MAX: usize = 64;

/// What a worker says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Registration {
    agent_name: String,
    job_type: proto::JobType,
    deployment: String,
    namespace: Option<String>,
    version: String,
    instance_id: String,
    permissions: Option<proto::ParticipantPermission>,
}

/// What the server would refuse, closing the connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegistrationError {
    /// Too long, or with characters that the server does not take.
    #[error(
        "name the deployment {deployment:?}: at most {DEPLOYMENT_BYTES_MAX} bytes, no blank, no control character, no `_`"
    )]
    Deployment {
        /// As it was given.
        deployment: String,
    },
}

impl Registration {
    /// A worker for jobs of a whole room. An empty `agent_name` is offered every room of the project that names no agent.
    pub fn rooms(agent_name: impl Into<String>) -> Self {
        Self {
            agent_name: agent_name.into(),
            job_type: proto::JobType::JtRoom,
            deployment: String::new(),
            namespace: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            instance_id: String::new(),
            permissions: None,
        }
    }

    /// A worker for jobs of this type; more types are more workers.
    pub fn of_type(self, job_type: proto::JobType) -> Self {
        Self { job_type, ..self }
    }

    /// A worker of this deployment.
    pub fn in_deployment(self, deployment: impl Into<String>) -> Result<Self, RegistrationError> {
        let deployment = deployment.into();
        let refused = |byte: u8| byte <= 0x20 || byte == 0x7f || byte == b'_';
        if deployment.len() > DEPLOYMENT_BYTES_MAX || deployment.bytes().any(refused) {
            return Err(RegistrationError::Deployment { deployment });
        }
        Ok(Self { deployment, ..self })
    }

    /// A worker of this namespace, which LiveKit has deprecated.
    pub fn in_namespace(self, namespace: impl Into<String>) -> Self {
        Self { namespace: Some(namespace.into()), ..self }
    }

    /// The version that the server shows; by default this crate's.
    pub fn with_version(self, version: impl Into<String>) -> Self {
        Self { version: version.into(), ..self }
    }

    /// Random for each process: newer servers take a registration with another one as the end of the earlier process.
    pub fn with_instance_id(self, instance_id: impl Into<String>) -> Self {
        Self { instance_id: instance_id.into(), ..self }
    }

    /// What agents may do in a room; by default publish, subscribe, send data and change their own metadata.
    pub fn with_permissions(self, permissions: proto::ParticipantPermission) -> Self {
        Self { permissions: Some(permissions), ..self }
    }

    /// The agent name; empty for a worker that waits for any room.
    pub fn agent_name(&self) -> &str {
        &self.agent_name
    }

    /// The type of its jobs.
    pub fn job_type(&self) -> proto::JobType {
        self.job_type
    }

    /// The deployment; empty for the default one.
    pub fn deployment(&self) -> &str {
        &self.deployment
    }

    /// Whether a job for this agent name was meant for us and nobody else.
    pub(crate) fn is_meant_by(&self, agent_name: &str) -> bool {
        !self.agent_name.is_empty() && self.agent_name == agent_name
    }

    pub(crate) fn request(&self) -> proto::RegisterWorkerRequest {
        proto::RegisterWorkerRequest {
            r#type: self.job_type.into(),
            agent_name: self.agent_name.clone(),
            version: self.version.clone(),
            namespace: self.namespace.clone(),
            deployment: self.deployment.clone(),
            instance_id: self.instance_id.clone(),
            allowed_permissions: self.permissions.clone(),
            ..Default::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_that_the_server_would_refuse_is_refused_here() {
        for bad in ["a b", "a_b", "a\u{7f}", &"x".repeat(65)] {
            assert!(Registration::rooms("a").in_deployment(bad).is_err(), "{bad:?}");
        }
        let good = Registration::rooms("a").in_deployment("blue-2").expect("a fine name");
        assert_eq!(good.request().deployment, "blue-2");
    }

    #[test]
    fn an_unnamed_worker_is_meant_by_nobody() {
        assert!(!Registration::rooms("").is_meant_by(""));
        assert!(Registration::rooms("a").is_meant_by("a"));
        assert!(!Registration::rooms("a").is_meant_by("b"));
    }
}
