"""LiteLLM's keys that load but have no meaning here, and what the one warning about each says."""

_NOT_USED = "LiteLLM's; it has no meaning here"

TOP = dict.fromkeys(
    ("environment_variables", "guardrails", "mcp_servers", "vector_store_registry", "assistant_settings", "callback_settings",
     "finetune_settings", "files_settings", "credential_list"),
    _NOT_USED,
)  # fmt: skip
ENTRY = {"model_info": _NOT_USED}
PARAMS = dict.fromkeys(
    ("api_version", "organization", "rpm", "tpm", "timeout", "stream_timeout", "max_retries", "temperature", "max_tokens",
     "max_completion_tokens", "top_p", "seed", "drop_params", "additional_drop_params", "input_cost_per_token",
     "output_cost_per_token", "headers", "extra_headers", "extra_body", "region_name", "merge_reasoning_content_in_choices",
     "order", "max_parallel_requests", "use_in_pass_through", "tags", "litellm_credential_name", "stream", "base_model"),
    _NOT_USED,
)  # fmt: skip
GENERAL = dict.fromkeys(
    ("database_url", "store_model_in_db", "alerting", "alerting_threshold", "completion_model", "disable_spend_logs",
     "background_health_checks", "health_check_interval", "max_parallel_requests", "global_max_parallel_requests",
     "ui_access_mode", "proxy_batch_write_at", "disable_reset_budget", "enforce_user_param", "allow_user_auth",
     "pass_through_endpoints", "custom_auth", "infer_model_from_keys", "use_client_credentials_pass_through_routes",
     "disable_error_logs", "store_prompts_in_spend_logs"),
    _NOT_USED,
)  # fmt: skip
