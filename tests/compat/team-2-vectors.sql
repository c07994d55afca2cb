-- And where it shared its vectors.
CREATE TABLE whatworks.leases (
    name text PRIMARY KEY, machine text NOT NULL REFERENCES whatworks.machines,
    epoch bigint NOT NULL, until timestamptz NOT NULL
);
CREATE TABLE whatworks.vectors (
    one boolean PRIMARY KEY DEFAULT true CHECK (one), url text NOT NULL,
    place text, version bigint NOT NULL DEFAULT 0, vectors bigint NOT NULL DEFAULT 0,
    entry bigint NOT NULL DEFAULT 0,
    machine text REFERENCES whatworks.machines, epoch bigint NOT NULL DEFAULT 0,
    moved_at timestamptz
);
-- The databases of teams that were made long ago do not have it.
CREATE OR REPLACE FUNCTION whatworks.owns(given text) RETURNS boolean LANGUAGE sql STABLE AS
    'SELECT EXISTS (SELECT 1 FROM whatworks.machines WHERE machine = given AND owner = current_user)';
ALTER TABLE whatworks.leases ENABLE ROW LEVEL SECURITY;
ALTER TABLE whatworks.vectors ENABLE ROW LEVEL SECURITY;
CREATE POLICY reading ON whatworks.leases FOR SELECT USING (true);
CREATE POLICY adding ON whatworks.leases FOR INSERT WITH CHECK (whatworks.owns(machine));
CREATE POLICY taking ON whatworks.leases FOR UPDATE USING (true) WITH CHECK (whatworks.owns(machine));
CREATE POLICY reading ON whatworks.vectors FOR SELECT USING (true);
CREATE POLICY naming ON whatworks.vectors FOR UPDATE USING (true) WITH CHECK (whatworks.owns(machine));
