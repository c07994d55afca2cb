-- The tables of a team as they were made when a database held one alone.
CREATE SCHEMA whatworks;
CREATE TABLE whatworks.team (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    version integer NOT NULL, store_id text NOT NULL, embedder text NOT NULL, dim integer,
    entries bigint NOT NULL DEFAULT 0,
    -- the last entry that forgets something, the last that writes over something
    forgotten bigint NOT NULL DEFAULT 0, erased bigint NOT NULL DEFAULT 0,
    -- up to here a snapshot has what was cut from the log
    cut bigint NOT NULL DEFAULT 0
);
CREATE TABLE whatworks.machines (
    machine text PRIMARY KEY, name text NOT NULL UNIQUE, token text NOT NULL,
    settled bigint NOT NULL DEFAULT 0,
    retired boolean NOT NULL DEFAULT false,
    -- the database's user that it came as
    owner name NOT NULL DEFAULT current_user,
    joined_at timestamptz NOT NULL DEFAULT now(), seen_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE whatworks.segments (
    segment text PRIMARY KEY, machine text NOT NULL REFERENCES whatworks.machines,
    bytes bigint NOT NULL CHECK (bytes >= 0)
);
CREATE TABLE whatworks.log (
    entry bigint PRIMARY KEY, kind text NOT NULL CHECK (kind IN ('bytes', 'erased')),
    machine text NOT NULL REFERENCES whatworks.machines,
    segment text NOT NULL REFERENCES whatworks.segments, start bigint NOT NULL,
    data bytea NOT NULL, at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE whatworks.snapshots (
    place text PRIMARY KEY, url text NOT NULL, entry bigint NOT NULL, sha256 text NOT NULL,
    bytes bigint NOT NULL, machine text NOT NULL REFERENCES whatworks.machines,
    made_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX log_places ON whatworks.log (segment, start) WHERE kind = 'bytes';
-- Whoever is let in writes for machines of its own only, see ``roles``; the owner for all.
ALTER TABLE whatworks.machines ENABLE ROW LEVEL SECURITY;
ALTER TABLE whatworks.segments ENABLE ROW LEVEL SECURITY;
ALTER TABLE whatworks.log ENABLE ROW LEVEL SECURITY;
ALTER TABLE whatworks.snapshots ENABLE ROW LEVEL SECURITY;
CREATE POLICY reading ON whatworks.machines FOR SELECT USING (true);
CREATE POLICY adding ON whatworks.machines FOR INSERT WITH CHECK (owner = current_user);
CREATE POLICY changing ON whatworks.machines FOR UPDATE USING (owner = current_user);
CREATE FUNCTION whatworks.owns(given text) RETURNS boolean LANGUAGE sql STABLE AS
    'SELECT EXISTS (SELECT 1 FROM whatworks.machines WHERE machine = given AND owner = current_user)';
CREATE POLICY reading ON whatworks.segments FOR SELECT USING (true);
CREATE POLICY adding ON whatworks.segments FOR INSERT WITH CHECK (whatworks.owns(machine));
CREATE POLICY changing ON whatworks.segments FOR UPDATE USING (whatworks.owns(machine));
CREATE POLICY reading ON whatworks.log FOR SELECT USING (true);
CREATE POLICY adding ON whatworks.log FOR INSERT WITH CHECK (whatworks.owns(machine));
-- What one machine forgets is written over in what others shipped, too.
CREATE POLICY erasing ON whatworks.log FOR UPDATE USING (true) WITH CHECK (true);
CREATE POLICY reading ON whatworks.snapshots FOR SELECT USING (true);
CREATE POLICY adding ON whatworks.snapshots FOR INSERT WITH CHECK (whatworks.owns(machine));
CREATE POLICY removing ON whatworks.snapshots FOR DELETE USING (whatworks.owns(machine));
