-- The beginning of an IF: whether audit_logger_apply_policy() has to be asked. Two settings tell, and save most calls.
    IF 'require_actor=reject' = ANY (TG_ARGV)
       OR lower(current_setting('audit_logger.enabled', true)) IN ('off', 'false', 'no', '0')
    THEN
