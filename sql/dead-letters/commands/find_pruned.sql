-- find_pruned: the ids of dead letters whose rows retention has deleted, but that have audit rows
-- $1: ids
SELECT DISTINCT dead_letter_id AS id
FROM dead_letters_audit AS entry
WHERE dead_letter_id = ANY ($1::bigint[])
  AND NOT EXISTS (SELECT FROM dead_letters AS letter WHERE letter.id = entry.dead_letter_id)
