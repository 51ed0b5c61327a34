    IF 'require_actor=reject' = ANY (TG_ARGV)
       OR lower(current_setting('audit_logger.enabled', true)) IN ('off', 'false', 'no', '0')
    THEN
