//! A secret is in the bytes that carry it and in nothing that is printed.

use openrtc_ipc::{Command, Configure, Secret, SecretText, encode_command};

#[test]
fn no_debug_text_shows_a_secret() {
    let value = SecretText::new("sk-canary".into());
    let secret = Secret { variable: "OPENAI_API_KEY".into(), value };
    let command = Command::Configure(Configure {
        application: None,
        agents: Vec::new(),
        agent_config_json: String::new(),
        env: Vec::new(),
        secrets: vec![secret.clone()],
        work_dir: "/".into(),
        terminate_grace_ms: 0,
    });
    for text in [format!("{:?}", secret.value), format!("{secret:?}"), format!("{command:?}"), format!("{command:#?}")]
    {
        assert!(text.contains("***") && !text.contains("canary"), "{text}");
    }
    let bytes = encode_command(&command).unwrap();
    assert!(bytes.windows(9).any(|window| window == b"sk-canary"));
    assert_eq!(secret.value.expose_secret(), "sk-canary");
}
