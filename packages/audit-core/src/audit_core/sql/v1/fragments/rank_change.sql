-- Tells how well a change fits as the next one: the smaller its rank, the better.
            -- NULL if it cannot be the next one.
            rank := CASE
                WHEN befores[candidate] > 0 AND states[old_keys[candidate]] <> befores[candidate]
                     AND guests[old_keys[candidate]] <> befores[candidate] THEN NULL
                WHEN (befores[candidate] = 0 OR afters[candidate] > 0 AND old_keys[candidate] <> new_keys[candidate])
                     AND states[new_keys[candidate]] > 0 THEN CASE WHEN guests[new_keys[candidate]] = 0 THEN 3 END
                WHEN befores[candidate] > 0 AND states[old_keys[candidate]] IS NULL AND are_led[candidate] THEN 2
                ELSE 1
            END;
