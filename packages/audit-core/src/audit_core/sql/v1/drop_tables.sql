DROP TABLE @schema@.activity
;;
DROP TABLE @schema@.transaction
