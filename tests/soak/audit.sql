-- Records every change of the store, in the transaction that makes it. A write holds its role's row
-- locked from its first statement until its commit, so that among the writes of a role the numbers
-- stand in the order of the commits; what was rolled back leaves no row.
CREATE SCHEMA audit;
CREATE TABLE audit.event (
    number bigserial,
    transaction text NOT NULL DEFAULT pg_current_xact_id()::text,
    at_ms bigint NOT NULL DEFAULT floor(extract(epoch FROM clock_timestamp()) * 1000),
    what text NOT NULL,
    "row" json NOT NULL);
CREATE FUNCTION audit.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO audit.event (what, "row")
        VALUES (TG_TABLE_NAME || CASE TG_OP WHEN 'DELETE' THEN '-gone' ELSE '' END,
                CASE TG_OP WHEN 'DELETE' THEN to_json(OLD) ELSE to_json(NEW) END);
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON comrade.role
    FOR EACH ROW EXECUTE FUNCTION audit.note();
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON comrade.member
    FOR EACH ROW EXECUTE FUNCTION audit.note();
CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON comrade.heartbeat
    FOR EACH ROW EXECUTE FUNCTION audit.note();
