-- Run by the postgres image when its volume is empty. Dagster's tables and the catalogue's must
-- not share a database: both keep their revision in a table of the same name.
CREATE DATABASE hoverfast;
