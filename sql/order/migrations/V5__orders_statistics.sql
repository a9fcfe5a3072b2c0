SET LOCAL lock_timeout = '5s';

-- As with the outbox (V4): each analysis looks at 3,000 orders and not at 30,000, since it comes every minute while many orders are
-- made, and requests notice. The planner has little to choose: orders are found by id, by customer and id, by status and id. Of the
-- two indexes it chooses one where both customer and status are given, of which the more frequent values are still known.
ALTER TABLE orders
    ALTER id SET STATISTICS 10,
    ALTER customer_public_id SET STATISTICS 10,
    ALTER product_name SET STATISTICS 10,
    ALTER quantity SET STATISTICS 10,
    ALTER price SET STATISTICS 10,
    ALTER delivery_address SET STATISTICS 10,
    ALTER status SET STATISTICS 10,
    ALTER created_at SET STATISTICS 10,
    ALTER updated_at SET STATISTICS 10;
