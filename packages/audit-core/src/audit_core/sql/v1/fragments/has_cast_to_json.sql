-- Whether the database has a cast to json beside those of PostgreSQL itself.
               -- In this form an index answers, and nearly always says no.
               (SELECT c.castsource FROM pg_cast AS c WHERE c.castsource >= 16384 AND c.casttarget = 114
                ORDER BY c.castsource DESC LIMIT 1) IS NOT NULL AS has_cast_to_json
