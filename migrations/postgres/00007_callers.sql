-- +goose Up

-- Tells every server, when the transaction is committed, that who may call has changed, whoever changed it: what servers remember of
-- callers is void then. Only what takes something away or gives it is told of; a session's new idle end and a key's last use are not.

-- +goose StatementBegin
CREATE FUNCTION tell_callers() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NOTIFY callers;
    RETURN NULL;
END $$;
-- +goose StatementEnd

CREATE TRIGGER users_tell_callers AFTER UPDATE OF role, status, deleted_at OR DELETE ON users FOR EACH ROW EXECUTE FUNCTION tell_callers();
CREATE TRIGGER sessions_tell_callers AFTER UPDATE OF ended_at OR DELETE ON sessions FOR EACH ROW EXECUTE FUNCTION tell_callers();
CREATE TRIGGER second_factors_tell_callers AFTER UPDATE OF confirmed_at OR DELETE ON second_factors FOR EACH ROW EXECUTE FUNCTION tell_callers();
CREATE TRIGGER api_keys_tell_callers AFTER UPDATE OF scope, expires_at, revoked_at OR DELETE ON api_keys FOR EACH ROW EXECUTE FUNCTION tell_callers();

-- +goose Down

DROP TRIGGER users_tell_callers ON users;
DROP TRIGGER sessions_tell_callers ON sessions;
DROP TRIGGER second_factors_tell_callers ON second_factors;
DROP TRIGGER api_keys_tell_callers ON api_keys;
DROP FUNCTION tell_callers();
